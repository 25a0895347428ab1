"""The consumer that draws: an animator on a thread of its own turns motion into pictures."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, TypeVar

from livehead.clock import TIME_BASE, PtsClock
from livehead.concurrency import Worker
from livehead.frames import Image, VideoFrame
from livehead.interfaces import Motion
from livehead.motion_stages import TimedMotion
from livehead.quality import QualityLevel
from livehead.sink_runner import count_bad_frame
from livehead.stats import StatsCollector

MotionT_contra = TypeVar("MotionT_contra", bound=Motion, contravariant=True)


class MotionAnimator(Protocol[MotionT_contra]):
    """Draws motion, as an ``Animator`` does; ``draw`` is called from one worker thread.

    ``presented_ns`` is the moment of the picture; that of the motion is earlier where a motion is drawn once more.
    """

    def draw(self, motion: MotionT_contra, presented_ns: int, /) -> Image: ...

    def set_quality(self, quality: QualityLevel) -> None: ...


class AnimatorConsumer:
    """A ``MotionConsumer`` that has an animator draw each motion, with time stamps for the sinks.

    A motion that cannot be drawn is counted in ``stats`` as ``draw.bad`` and skipped.
    """

    def __init__(self, animator: MotionAnimator[Any], stats: StatsCollector) -> None:
        self._animator = animator
        self._stats = stats
        self._pts_clock = PtsClock(TIME_BASE)
        self._worker = Worker("draw")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AnimatorConsumer:
        await self._stack.enter_async_context(self._worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def consume(self, motion: TimedMotion) -> VideoFrame | None:
        """Draw one motion; return None where that fails."""
        image = await self._worker.run_or_error(self._animator.draw, motion.motion, motion.presented_ns)
        if isinstance(image, Exception):
            count_bad_frame(self._stats, "draw", image)
            return None
        pts = self._pts_clock.to_pts(motion.presented_ns)
        return VideoFrame(image, pts, TIME_BASE, motion.motion.captured_ns, motion.attached)

    def set_quality(self, quality: QualityLevel) -> None:
        """Draw at the size of ``quality`` from the next picture on."""
        self._animator.set_quality(quality)
