"""Time: the monotonic clock in nanoseconds, its mapping to presentation times, pacing, and backing off."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from fractions import Fraction
from statistics import median_low

NS = 1_000_000_000
TIME_BASE = Fraction(1, 90_000)
"""Seconds of one tick of the presentation times that livehead makes: RTP's clock of video."""
_TRANSIT_WINDOW = 50  # packets that a sender's clock is judged by: a second of sound


def now_ns() -> int:
    """The monotonic clock that every ``captured_ns`` is on."""
    return time.monotonic_ns()


async def sleep_until(deadline_ns: int) -> None:
    """Return at ``deadline_ns``, at once when it has passed."""
    delay = (deadline_ns - now_ns()) / NS
    if delay > 0:
        await asyncio.sleep(delay)


class PtsClock:
    """Presentation times counted from the first moment seen, never going back.

    ``time_base`` is the length of one pts tick in seconds.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.time_base = time_base
        self._origin_ns: int | None = None
        self._last_pts = -1

    def to_pts(self, moment_ns: int) -> int:
        """The tick of ``moment_ns``; a moment not later than the one before gets the next free tick."""
        if self._origin_ns is None:
            self._origin_ns = moment_ns
        ticks = round((moment_ns - self._origin_ns) / NS / self.time_base)
        self._last_pts = max(self._last_pts + 1, ticks)
        return self._last_pts


class RemoteClock:
    """Puts a sender's own times on our clock, freed of the jitter with which its packets come.

    Half of them come later than told, by less than their jitter; drift between the clocks is followed.
    """

    def __init__(self) -> None:
        self._transit_times: deque[int] = deque(maxlen=_TRANSIT_WINDOW)

    def to_local_ns(self, sent_ns: int, arrived_ns: int) -> int:
        """When what is stamped ``sent_ns`` and came at ``arrived_ns`` usually comes."""
        way = arrived_ns - sent_ns
        if self._transit_times and abs(way - median_low(self._transit_times)) > NS:
            self._transit_times.clear()  # the sender counts anew, or was silent and its clock stood still
        self._transit_times.append(way)
        return sent_ns + median_low(self._transit_times)


class FramePacer:
    """Slots of a fixed rate; slots missed by more than one period are skipped, not caught up with."""

    def __init__(self, fps: float, start_ns: int | None = None) -> None:
        self.period_ns = round(NS / fps)
        self._next_ns = now_ns() if start_ns is None else start_ns
        self.skipped_slots = 0

    async def wait_for_slot(self) -> int:
        """Wait for the next slot and give its time."""
        slot = self._next_ns
        behind = (now_ns() - slot) // self.period_ns
        if behind > 0:
            self.skipped_slots += behind
            slot += behind * self.period_ns
        self._next_ns = slot + self.period_ns
        await sleep_until(slot)
        return slot


class ExponentialBackoff:
    """How long to wait before each attempt: doubling, from ``first_s`` to ``most_s``.

    Each wait is up to a quarter shorter or longer, so that many who lost the same server do not come back at once.
    """

    def __init__(self, initial_s: float = 0.5, max_s: float = 8.0) -> None:
        self._initial_s = self._delay_s = initial_s
        self._max_s = max_s

    def next_delay_s(self) -> float:
        """Seconds to wait now."""
        wait_s = self._delay_s * random.uniform(0.75, 1.25)
        self._delay_s = min(self._delay_s * 2, self._max_s)
        return wait_s

    def reset(self) -> None:
        """The next wait is the shortest again."""
        self._delay_s = self._initial_s
