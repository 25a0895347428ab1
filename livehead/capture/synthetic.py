"""A capture that plays prepared pictures on an exact frame clock, for tests and measurements without a camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType

from livehead.clock import NS, TIME_BASE, FramePacer, now_ns
from livehead.frames import Image, VideoFrame
from livehead.interfaces import EndOfStream


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """A prepared picture (uint8 [H, W, 3] RGB) with the data attached to its frame, for example a time code."""

    image: Image
    attached: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


FrameSchedule = Callable[[int], int | None]
"""Gives the index of the picture to show at a time in ns since the capture was entered; None ends the stream."""


def play_in_order(count: int, fps: float, *, loop: bool = True) -> FrameSchedule:
    """A schedule that shows ``count`` pictures in order, ``fps`` a second."""

    def index_at(since_start_ns: int) -> int | None:
        # 50 microseconds of grace, so that a period rounded to whole nanoseconds shows no picture twice for an hour
        index = int((since_start_ns + 50_000) * fps / NS)
        return index % count if loop else (index if index < count else None)

    return index_at


class SyntheticCapture:
    """Plays ``frames`` like a camera of ``fps``: each frame shows what ``schedule`` names at its moment of exposure.

    ``schedule``: by default the frames in order at ``fps``, over and over. A schedule that changes at moments of its
    own (a sudden motion, to measure latency) is sampled by the frame clock as a real scene would be.
    ``phase``: the delay of the first exposure after entering, as a part of a period in [0, 1).
    A reader that is late loses exposures, as with a real camera; ``skipped`` counts them. ``captured_ns`` is exactly
    the moment of exposure, even when the event loop delivers the frame later.
    """

    def __init__(
        self,
        frames: Sequence[PreparedFrame],
        *,
        fps: float = 30.0,
        schedule: FrameSchedule | None = None,
        phase: float = 0.0,
    ) -> None:
        if not frames:
            raise ValueError("a synthetic capture needs at least one frame")
        self.fps = fps
        self.start_ns = 0
        """The moment on the monotonic clock at which the capture was entered, the schedule's time 0."""
        self._frames = frames
        self._schedule = schedule or play_in_order(len(frames), fps)
        self._phase = phase
        self._pacer = FramePacer(fps)

    @property
    def skipped(self) -> int:
        """Exposures lost because the reader came too late."""
        return self._pacer.skipped_slots

    async def __aenter__(self) -> SyntheticCapture:
        self.start_ns = now_ns()
        self._pacer = FramePacer(self.fps, self.start_ns + round(self._phase * NS / self.fps))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the capture, which holds nothing that must be freed."""

    async def recv(self) -> VideoFrame:
        """Wait for the next exposure and give its frame. Raises: EndOfStream when the schedule ends."""
        exposed_ns = await self._pacer.wait_for_slot()
        index = self._schedule(exposed_ns - self.start_ns)
        if index is None:
            raise EndOfStream
        prepared = self._frames[index]
        pts = round((exposed_ns - self.start_ns) / NS / TIME_BASE)
        return VideoFrame(prepared.image, pts, TIME_BASE, exposed_ns, prepared.attached)
