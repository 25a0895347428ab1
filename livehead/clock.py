"""The monotonic clock in nanoseconds, its mapping to presentation times, pacing, and waits between attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction
from statistics import median_low

NS = 1_000_000_000
TIME_BASE = Fraction(1, 90_000)
"""Seconds of one tick of the presentation times that livehead makes: RTP's clock of video."""
_TRANSIT_WINDOW = 50  # packets that a sender's clock is judged by: a second of sound
_RESYNC_NS = NS // 2  # a reader that was held up for longer (a suspended laptop) does not race to catch up


def now_ns() -> int:
    """Return the present moment on the monotonic clock, which every ``captured_ns`` is on."""
    return time.monotonic_ns()


async def sleep_until(deadline_ns: int) -> None:
    """Sleep until ``deadline_ns``; return at once when it has passed."""
    delay = (deadline_ns - now_ns()) / NS
    if delay > 0:
        await asyncio.sleep(delay)


class PtsClock:
    """Turns moments into presentation times that count from the first moment seen and never go back.

    ``time_base`` is the length of one pts tick in seconds.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.time_base = time_base
        self._origin_ns: int | None = None
        self._last_pts = -1

    def to_pts(self, moment_ns: int) -> int:
        """Return the tick of ``moment_ns``; a moment not later than the one before gets the next free tick."""
        if self._origin_ns is None:
            self._origin_ns = moment_ns
        ticks = round((moment_ns - self._origin_ns) / NS / self.time_base)
        self._last_pts = max(self._last_pts + 1, ticks)
        return self._last_pts


class RemoteClock:
    """Puts a sender's own times on our clock, without the jitter with which its packets arrive.

    Half of the packets arrive later than the time given here, by less than their jitter. Drift between the two clocks
    is followed.
    """

    def __init__(self) -> None:
        self._transit_times: deque[int] = deque(maxlen=_TRANSIT_WINDOW)

    def to_local_ns(self, sent_ns: int, arrived_ns: int) -> int:
        """Return the local time at which a packet stamped ``sent_ns`` usually arrives.

        ``arrived_ns`` is the moment at which this one arrived.
        """
        transit_ns = arrived_ns - sent_ns
        if self._transit_times and abs(transit_ns - median_low(self._transit_times)) > NS:
            self._transit_times.clear()  # the sender restarted its clock, or was silent and its clock stood still
        self._transit_times.append(transit_ns)
        return sent_ns + median_low(self._transit_times)


class FramePacer:
    """Paces a loop at a fixed rate; slots missed by more than one period are skipped, not caught up with."""

    def __init__(self, fps: float, start_ns: int | None = None) -> None:
        self.period_ns = round(NS / fps)
        self._next_ns = now_ns() if start_ns is None else start_ns
        self.skipped_slots = 0

    async def wait_for_slot(self) -> int:
        """Wait for the next slot and return its time in ns."""
        slot = self._next_ns
        behind = (now_ns() - slot) // self.period_ns
        if behind > 0:
            self.skipped_slots += behind
            slot += behind * self.period_ns
        self._next_ns = slot + self.period_ns
        await sleep_until(slot)
        return slot


@dataclass(frozen=True, slots=True)
class PlaybackClock:
    """The two clock functions that a paced capture uses, so that a test can pass a clock that it moves by hand."""

    now_ns: Callable[[], int] = now_ns
    sleep_until: Callable[[int], Awaitable[None]] = sleep_until


class RealtimePacer:
    """Plays media in real time: turns times since the start into moments of the clock and waits for them."""

    def __init__(self, clock: PlaybackClock | None = None) -> None:
        self._clock = clock or PlaybackClock()
        self._start_ns: int | None = None

    async def wait_until_due(self, since_start_ns: int, length_ns: int = 0) -> int:
        """Return ``length_ns`` after ``since_start_ns`` is due; the result is the moment at which it was due.

        The first call sets the start, so that a picture and a sound that are first asked for together stay together.
        """
        now = self._clock.now_ns()
        if self._start_ns is None or now - (self._start_ns + since_start_ns + length_ns) > _RESYNC_NS:
            self._start_ns = now - since_start_ns
        due_ns = self._start_ns + since_start_ns
        await self._clock.sleep_until(due_ns + length_ns)
        return due_ns


class ExponentialBackoff:
    """Waits before repeated attempts, doubling from ``initial_s`` up to ``max_s`` seconds.

    Each wait is up to a quarter shorter or longer, so that many who lost the same server do not come back at once.
    """

    def __init__(self, initial_s: float = 0.5, max_s: float = 8.0) -> None:
        self._initial_s = self._delay_s = initial_s
        self._max_s = max_s

    def next_delay_s(self) -> float:
        """Return the seconds to wait before the next attempt."""
        wait_s = self._delay_s * random.uniform(0.75, 1.25)
        self._delay_s = min(self._delay_s * 2, self._max_s)
        return wait_s

    def reset(self) -> None:
        """Let the next wait be the shortest again, after an attempt that succeeded."""
        self._delay_s = self._initial_s
