"""The governor: when the budget is missed, quality falls in a fixed order, and returns when there is room again."""

from __future__ import annotations

import logging
import statistics
from collections import deque
from dataclasses import dataclass, replace

from livehead.clock import NS

log = logging.getLogger(__name__)

WARM_UP = 30  # frames not judged: the first ones load code and caches
FALL_AFTER = 20  # frames over budget until quality falls
TRIAL = 8  # the same, just after it has risen: an attempt that fails should hardly be seen
RISE_AFTER_NS = 4 * NS  # time with room until quality rises again; for so long it then is on trial
RISE_ROOM = 0.65  # share of the budget that must suffice before quality rises
PATIENCE_LIMIT = 16  # at most so many times RISE_AFTER_NS between attempts that failed


@dataclass(frozen=True, slots=True)
class Quality:
    """``size``: side of the rendered square in pixels; ``track_every``: the tracker looks at every n-th frame."""

    size: int
    track_every: int
    fps: float

    def __str__(self) -> str:
        tracking = "every frame" if self.track_every == 1 else f"every {self.track_every}nd frame"
        return f"picture {self.size} px, tracking {tracking}, {self.fps:g} fps"


def ladder(best: Quality, *, tracks: bool = True) -> tuple[Quality, ...]:
    """Best first, then smaller pictures, then half the tracking rate if it ``tracks``, then fewer frames a second.

    Of fewer frames each is tracked again: half of them make no more work than before, and no picture repeats motion.
    """
    steps = [best]
    steps += [replace(best, size=size) for size in (best.size * 3 // 4, best.size // 2) if size >= 128]
    if tracks:
        steps.append(replace(steps[-1], track_every=2))
    steps += [replace(steps[-1], track_every=1, fps=best.fps * share) for share in (2 / 3, 1 / 2)]
    return tuple(steps)


class Governor:
    """Judges the time of each frame; no clock of its own and no threads.

    ``budget_ms`` is what the slowest stage of a frame may take, ``machine_share`` what part of all cores may be busy.
    ``tracks``: whether looking at every other frame only would spare anything.
    """

    def __init__(self, best: Quality, budget_ms: float, machine_share: float = 1.0, *, tracks: bool = True) -> None:
        self.steps = ladder(best, tracks=tracks)
        self.budget_ms = budget_ms
        self.machine_share = machine_share
        self._level = 0
        self._recent: deque[float] = deque(maxlen=FALL_AFTER)
        self._seen = 0
        self._patience = 1
        self._roomy_since: int | None = None
        self._rose_ns: int | None = None

    @property
    def quality(self) -> Quality:
        """The step in force."""
        return self.steps[self._level]

    def observe(self, busy_ms: float, share: float, now_ns: int) -> Quality | None:
        """Judge one frame: its slowest stage in ms and the busy share of the machine. The new step when it changes."""
        self._seen += 1
        if self._seen <= WARM_UP:
            return None
        self._recent.append(busy_ms)
        on_trial = self._rose_ns is not None and now_ns - self._rose_ns < RISE_AFTER_NS
        if len(self._recent) < (TRIAL if on_trial else FALL_AFTER):
            return None
        median = statistics.median(self._recent)
        budget = self.budget_ms * self.steps[0].fps / self.quality.fps
        if median > budget or share > self.machine_share:
            return self._fall(median, budget, share, now_ns)
        if median > RISE_ROOM * budget or share > RISE_ROOM * self.machine_share or self._level == 0:
            self._roomy_since = None
            return None
        if self._roomy_since is None:
            self._roomy_since = now_ns
        if now_ns - self._roomy_since < RISE_AFTER_NS * self._patience:
            return None
        return self._move(-1, now_ns, f"{median:.0f} ms a frame leaves room")

    def _fall(self, median: float, budget: float, share: float, now_ns: int) -> Quality | None:
        if self._level == len(self.steps) - 1:
            return None
        if self._rose_ns is not None and now_ns - self._rose_ns < 3 * RISE_AFTER_NS:
            self._patience = min(2 * self._patience, PATIENCE_LIMIT)
        reason = f"{median:.0f} ms a frame, budget {budget:.0f} ms"
        if share > self.machine_share:
            reason = f"{share:.0%} of the machine busy, budget {self.machine_share:.0%}"
        return self._move(1, now_ns, reason)

    def _move(self, by: int, now_ns: int, reason: str) -> Quality:
        self._level += by
        self._recent.clear()
        self._roomy_since = None
        if by < 0:
            self._rose_ns = now_ns
        log.warning("%s quality: %s (%s)", "less" if by > 0 else "more", self.quality, reason)
        return self.quality
