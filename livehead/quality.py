"""Controls quality: it falls in a fixed order when frames take too long, and rises again when there is room."""

from __future__ import annotations

import logging
import statistics
from collections import deque
from dataclasses import dataclass, replace

from livehead.clock import NS

log = logging.getLogger(__name__)

WARM_UP_FRAMES = 30  # frames not judged, since the first ones load code and fill caches
LOWER_AFTER_FRAMES = 20  # frames over budget until quality falls
TRIAL_FRAMES = 8  # the same just after quality has risen, so that a failed attempt is hardly seen
RAISE_AFTER_NS = 4 * NS  # time with room until quality rises again, and how long it then is on trial
RAISE_BELOW_SHARE = 0.65  # share of the budget that must suffice before quality rises
MAX_RAISE_BACKOFF = 16  # largest multiple of RAISE_AFTER_NS between failed attempts


@dataclass(frozen=True, slots=True)
class QualityLevel:
    """One step of quality.

    ``size`` is the side of the rendered square in pixels, ``fps`` the frames a second. The tracker looks at one frame
    in ``track_every``.
    """

    size: int
    track_every: int
    fps: float

    def __str__(self) -> str:
        tracking = "every frame" if self.track_every == 1 else f"one frame in {self.track_every}"
        return f"picture {self.size} px, tracking {tracking}, {self.fps:g} fps"


def quality_levels(best: QualityLevel, *, can_skip_tracking: bool = True) -> tuple[QualityLevel, ...]:
    """Return the steps of quality: best, smaller pictures, half the tracking rate, then fewer frames a second.

    With ``can_skip_tracking`` false the step with half the tracking rate is left out, as it would save nothing. With
    fewer frames each one is tracked again: that costs no more than before, and no picture repeats a motion.
    """
    levels = [best]
    levels += [replace(best, size=size) for size in (best.size * 3 // 4, best.size // 2) if size >= 128]
    if can_skip_tracking:
        levels.append(replace(levels[-1], track_every=2))
    levels += [replace(levels[-1], track_every=1, fps=best.fps * share) for share in (2 / 3, 1 / 2)]
    return tuple(levels)


class QualityController:
    """Lowers and raises quality by the time that each frame took; it has no clock and no threads of its own.

    ``budget_ms``: the time that a frame's slowest stage may take. ``machine_share``: the share of all cores that may be
    busy. ``can_skip_tracking``: as for ``quality_levels``.
    """

    def __init__(
        self, best: QualityLevel, budget_ms: float, machine_share: float = 1.0, *, can_skip_tracking: bool = True
    ) -> None:
        self.levels = quality_levels(best, can_skip_tracking=can_skip_tracking)
        self.budget_ms = budget_ms
        self.machine_share = machine_share
        self._level_index = 0
        self._recent_ms: deque[float] = deque(maxlen=LOWER_AFTER_FRAMES)
        self._frame_count = 0
        self._raise_backoff = 1
        self._headroom_since_ns: int | None = None
        self._raised_ns: int | None = None

    @property
    def quality(self) -> QualityLevel:
        """The present level of quality."""
        return self.levels[self._level_index]

    def observe_frame(self, busy_ms: float, share: float, now_ns: int) -> QualityLevel | None:
        """Judge one frame by its slowest stage in ms and the machine's busy share; return the level if it changes."""
        self._frame_count += 1
        if self._frame_count <= WARM_UP_FRAMES:
            return None
        self._recent_ms.append(busy_ms)
        on_trial = self._raised_ns is not None and now_ns - self._raised_ns < RAISE_AFTER_NS
        if len(self._recent_ms) < (TRIAL_FRAMES if on_trial else LOWER_AFTER_FRAMES):
            return None
        median = statistics.median(self._recent_ms)
        budget = self.budget_ms * self.levels[0].fps / self.quality.fps
        if median > budget or share > self.machine_share:
            return self._lower_quality(median, budget, share, now_ns)
        if (
            median > RAISE_BELOW_SHARE * budget
            or share > RAISE_BELOW_SHARE * self.machine_share
            or self._level_index == 0
        ):
            self._headroom_since_ns = None
            return None
        if self._headroom_since_ns is None:
            self._headroom_since_ns = now_ns
        if now_ns - self._headroom_since_ns < RAISE_AFTER_NS * self._raise_backoff:
            return None
        return self._change_level(-1, now_ns, f"{median:.0f} ms a frame leaves room")

    def _lower_quality(self, median: float, budget: float, share: float, now_ns: int) -> QualityLevel | None:
        if self._level_index == len(self.levels) - 1:
            return None
        if self._raised_ns is not None and now_ns - self._raised_ns < 3 * RAISE_AFTER_NS:
            self._raise_backoff = min(2 * self._raise_backoff, MAX_RAISE_BACKOFF)
        reason = f"{median:.0f} ms a frame, budget {budget:.0f} ms"
        if share > self.machine_share:
            reason = f"{share:.0%} of the machine busy, budget {self.machine_share:.0%}"
        return self._change_level(1, now_ns, reason)

    def _change_level(self, by: int, now_ns: int, reason: str) -> QualityLevel:
        self._level_index += by
        self._recent_ms.clear()
        self._headroom_since_ns = None
        if by < 0:
            self._raised_ns = now_ns
        log.warning("%s quality: %s (%s)", "less" if by > 0 else "more", self.quality, reason)
        return self.quality
