"""Which of two codings each receiver gets, so that a slow or hostile one changes nothing for the others.

The high rung is the performer's own: nobody else's link lowers it. A viewer who cannot take what it really sends is put
on the low rung, as an SFU does with simulcast, and tries the high one again after a while: receivers estimate no more
than about what they are sent, so that nothing else shows that a link has become better.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from livehead.clock import NS
from livehead.webrtc.encoder import MIN_BITRATE, START_BITRATE

Rung = Literal["high", "low"]

LOW_RUNG_BITRATE = 500_000
"""The bits a second of the low rung, unless one of its viewers says that it can take less."""

_TOO_SLOW_SHARE = 0.8  # of what is sent: a viewer whose estimate is below cannot take it
_TOO_SLOW_NS = 1_500_000_000  # and is below for so long
_SETTLE_NS = 4 * NS  # after a change, in which estimates come to rest
_FIRST_RETRY_NS, _LONGEST_RETRY_NS = 10 * NS, 160 * NS  # on the low rung before the high one is tried again
_RELIABLE_NS = 60 * NS  # on the high rung, after which the next retry is as soon as the first
_RATE_WINDOW_NS = 2 * NS
_MIN_MEASURED_NS = NS  # of sending before a rate is told
_KEY_FRAME_BURST, _KEY_FRAME_PERIOD_NS = 3, 4 * NS


class RungSelector:
    """Chooses the rung of one viewer from its estimates (REMB), with hysteresis and growing pauses."""

    def __init__(self, now_ns: int) -> None:
        self.rung: Rung = "high"
        self._changed_ns = now_ns
        self._too_slow_since_ns: int | None = None
        self._retry_ns = _FIRST_RETRY_NS

    def update(self, estimate: int | None, high_rate: int | None, low_rate: int | None, now_ns: int) -> Rung:
        """The viewer's rung from now on.

        ``high_rate`` and ``low_rate`` are the bits a second that the rungs have sent of late, None while unknown.
        """
        stayed_ns = now_ns - self._changed_ns
        if self.rung == "high":
            if stayed_ns > _RELIABLE_NS:
                self._retry_ns = _FIRST_RETRY_NS
            if stayed_ns > _SETTLE_NS and self._is_too_slow(estimate, high_rate, now_ns):
                self._change("low", now_ns)
        elif stayed_ns > self._retry_ns and _can_take(estimate, low_rate):
            self._retry_ns = min(2 * self._retry_ns, _LONGEST_RETRY_NS)
            self._change("high", now_ns)
        return self.rung

    def _is_too_slow(self, estimate: int | None, rate: int | None, now_ns: int) -> bool:
        if _can_take(estimate, rate):
            self._too_slow_since_ns = None
            return False
        self._too_slow_since_ns = self._too_slow_since_ns or now_ns
        return now_ns - self._too_slow_since_ns > _TOO_SLOW_NS

    def _change(self, rung: Rung, now_ns: int) -> None:
        self.rung, self._changed_ns, self._too_slow_since_ns = rung, now_ns, None


def _can_take(estimate: int | None, rate: int | None) -> bool:
    return estimate is None or rate is None or estimate >= _TOO_SLOW_SHARE * rate


def choose_high_bitrate(owner_estimates: Iterable[int | None], viewer_estimates: Iterable[int | None]) -> int | None:
    """The bits a second that the high rung aims at; None where nobody is on it.

    An owner's estimate counts alone. Without one a single viewer's does; of several the best link's, up to what all
    start with: whoever cannot take that is put on the low rung.
    """
    owners = [estimate or START_BITRATE for estimate in owner_estimates]
    if owners:
        return min(owners)
    viewers = [estimate or START_BITRATE for estimate in viewer_estimates]
    if len(viewers) > 1:
        return min(max(viewers), START_BITRATE)
    return viewers[0] if viewers else None


def choose_low_bitrate(viewer_estimates: Iterable[int | None]) -> int:
    """The bits a second that the low rung aims at."""
    return max(min([LOW_RUNG_BITRATE, *(each for each in viewer_estimates if each is not None)]), MIN_BITRATE)


class BitrateMeter:
    """Measures the bits a second that a coding has sent in the last two seconds."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()
        self._bits = 0

    def add(self, size_bytes: int, now_ns: int) -> None:
        """Count a picture of ``size_bytes``."""
        if self._sent and now_ns - self._sent[-1][0] > _RATE_WINDOW_NS:
            self._sent.clear()  # nobody has wanted it meanwhile
            self._bits = 0
        self._sent.append((now_ns, 8 * size_bytes))
        self._bits += 8 * size_bytes
        while now_ns - self._sent[0][0] > _RATE_WINDOW_NS:
            self._bits -= self._sent.popleft()[1]

    def rate(self, now_ns: int) -> int | None:
        """Bits a second, None before a second of sending and when nothing was sent of late."""
        if not self._sent or now_ns - self._sent[-1][0] > _RATE_WINDOW_NS:
            return None
        length_ns = self._sent[-1][0] - self._sent[0][0]
        return None if length_ns < _MIN_MEASURED_NS else self._bits * NS // length_ns


class KeyFrameBudget:
    """Lets one viewer ask for three key frames at once, and for one in four seconds: they cost everybody's picture."""

    def __init__(self, now_ns: int) -> None:
        self._left, self._since_ns = float(_KEY_FRAME_BURST), now_ns

    def try_acquire(self, now_ns: int) -> bool:
        """Count one request, and tell whether it is granted."""
        left = min(self._left + (now_ns - self._since_ns) / _KEY_FRAME_PERIOD_NS, _KEY_FRAME_BURST)
        self._since_ns = now_ns
        self._left = left - 1 if left >= 1 else left
        return left >= 1
