"""A sink that discards its frames, for measuring the pipeline before it."""

from __future__ import annotations

from types import TracebackType

from livehead.frames import Frame, VideoFrame


class NullSink:
    """Counts the frames that it is sent and discards them."""

    def __init__(self) -> None:
        self.frame_count = 0
        """Pictures received so far."""
        self.sound_s = 0.0
        """Seconds of sound received so far."""

    async def __aenter__(self) -> NullSink:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the sink, which holds nothing that must be freed."""

    async def send(self, frame: Frame) -> None:
        """Count ``frame`` and discard it."""
        if isinstance(frame, VideoFrame):
            self.frame_count += 1
        else:
            self.sound_s += frame.duration_s
