"""The sink that keeps nothing, for measuring what comes before it."""

from __future__ import annotations

from types import TracebackType

from livehead.frames import Frame, VideoFrame


class NullSink:
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.frame_count = 0
        """Pictures taken so far."""
        self.sound_s = 0.0
        """Seconds of sound taken so far."""

    async def __aenter__(self) -> NullSink:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to free."""

    async def send(self, frame: Frame) -> None:
        """Count ``frame`` and forget it."""
        if isinstance(frame, VideoFrame):
            self.frame_count += 1
        else:
            self.sound_s += frame.duration_s
