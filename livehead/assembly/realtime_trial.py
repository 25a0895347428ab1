"""Whether a renderer draws in time for live pictures on this machine, tried out and told in figures."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from livehead.assembly.live_avatar import LiveAvatar
from livehead.clock import now_ns
from livehead.quality import QualityLevel, quality_levels

_TIMING_RUNS, _HEADROOM = 7, 0.25


@dataclass(frozen=True, slots=True)
class RealtimeTrial:
    """How long a picture of ``size`` pixels took, in milliseconds, and how long one may take at ``fps``."""

    size: int
    draw_ms: float
    allowed_ms: float
    fps: float

    @property
    def keeps_up(self) -> bool:
        """True where the pictures are drawn in time."""
        return self.draw_ms < self.allowed_ms

    def describe_excess(self) -> str:
        """Say what was measured where it was too much."""
        return (
            f"too slow for {self.fps:g} fps here and now (a picture of {self.size} pixels took {self.draw_ms:.0f} ms, "
            f"and {self.allowed_ms:.0f} ms are allowed)"
        )


def try_realtime(live_avatar: LiveAvatar, fps: float) -> RealtimeTrial:
    """Draw a few pictures at the avatar's size and, if that is too slow, one step of quality below it.

    A quarter of each frame's time is left to all that follows the renderer. Other programs that are busy meanwhile
    count, since they would slow down the live pictures too.
    """
    trials = []
    for level in quality_levels(QualityLevel(live_avatar.render_size, 1, fps))[:2]:
        draw_ms = _measure_draw_ms(live_avatar, level.size)
        trials.append(RealtimeTrial(level.size, draw_ms, (1 - _HEADROOM) * 1000 / fps, fps))
        if trials[-1].keeps_up:
            break
    return trials[-1]


def _measure_draw_ms(live_avatar: LiveAvatar, size: int) -> float:
    """Milliseconds for a picture of ``size`` pixels, once what a first one compiles is there."""
    times = []
    for _ in range(1 + _TIMING_RUNS):
        start = now_ns()
        live_avatar.renderer.render(live_avatar.avatars[0], live_avatar.avatars[0].motion, size)
        times.append((now_ns() - start) / 1e6)
    return median(times[1:])
