"""A camera without a camera: plays pictures it is given, on an exact frame clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType

from livehead.clock import NS, TIME_BASE, FramePacer, now_ns
from livehead.frames import Image, VideoFrame
from livehead.interfaces import EndOfStream


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """A prepared picture (uint8 [H, W, 3] RGB) and what travels with it, as a time code."""

    image: Image
    attached: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


FrameSchedule = Callable[[int], int | None]
"""Which shot is before the lens, by the nanoseconds since the capture was entered; None when all is over."""


def play_in_order(count: int, fps: float, *, loop: bool = True) -> FrameSchedule:
    """The scene that shows ``count`` shots in order, ``fps`` a second."""

    def shot_at(since_start_ns: int) -> int | None:
        # 50 microseconds of grace, so that a period rounded to whole nanoseconds shows no shot twice for an hour
        index = int((since_start_ns + 50_000) * fps / NS)
        return index % count if loop else (index if index < count else None)

    return shot_at


class SyntheticCapture:
    """Plays ``shots`` like a camera of ``fps``: the picture is what the scene shows at the moment of exposure.

    ``scene``: by default the shots in order at ``fps``, over and over. A scene that changes at moments of its own (a
    sudden motion, to measure latency) is sampled by the frame clock as a real one would be.
    ``phase``: by how much of a period the first exposure comes after entering, in [0, 1).
    A reader that is late loses exposures, as with a real camera; ``skipped`` counts them. ``captured_ns`` is the moment
    of exposure exactly, whenever the event loop comes to give the frame.
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
            raise ValueError("a synthetic capture needs at least one shot")
        self.fps = fps
        self.start_ns = 0
        """When the capture was entered: the scene's moment 0 on the monotonic clock."""
        self._frames = frames
        self._schedule = schedule or play_in_order(len(frames), fps)
        self._phase = phase
        self._pacer = FramePacer(fps)

    @property
    def skipped(self) -> int:
        """Exposures that the reader came too late for."""
        return self._pacer.skipped_slots

    async def __aenter__(self) -> SyntheticCapture:
        self.start_ns = now_ns()
        self._pacer = FramePacer(self.fps, self.start_ns + round(self._phase * NS / self.fps))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to free."""

    async def recv(self) -> VideoFrame:
        """The next exposure, at its moment. Raises: EndOfStream when the scene is over."""
        exposed_ns = await self._pacer.wait_for_slot()
        index = self._schedule(exposed_ns - self.start_ns)
        if index is None:
            raise EndOfStream
        shot = self._frames[index]
        pts = round((exposed_ns - self.start_ns) / NS / TIME_BASE)
        return VideoFrame(shot.image, pts, TIME_BASE, exposed_ns, shot.attached)
