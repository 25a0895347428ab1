"""The two stages of the live pipeline: a motion source gives motion, a motion consumer takes it.

A source is a driver with its camera (``motion_source.DriverMotionSource``) or a network feed
(``drivers.network.NetworkMotionSource``). A consumer is an animator that draws (``motion_consumer.AnimatorConsumer``)
or a network uplink (``client.remote_run.MotionUplink``). The pipeline joins any two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from livehead.concurrency import Latest
from livehead.frames import VideoFrame
from livehead.interfaces import Motion
from livehead.quality import QualityLevel


@dataclass(frozen=True, slots=True)
class TimedMotion:
    """A motion on its way from a source to a consumer.

    ``presented_ns`` is the moment of the picture that it is for: later than ``motion.captured_ns`` where the same
    motion is drawn once more. ``attached`` is what the capture attached to the driving frame (a time code, for
    example). ``estimate_ms`` is how long the driver took, ``ready_ns`` when the motion left the source.
    """

    motion: Motion
    presented_ns: int
    ready_ns: int
    estimate_ms: float = 0.0
    attached: Mapping[str, object] = field(default_factory=dict)


class MotionSource(Protocol):
    """Gives the performer's motion: a driver with its camera and microphone, or a feed from the network."""

    @property
    def ends_with_microphone(self) -> bool:
        """True where the end of the microphone's sound ends the motion, as there is no camera."""
        ...

    async def __aenter__(self) -> MotionSource: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self, output: Latest[TimedMotion]) -> None:
        """Put every motion into ``output`` until the source ends or ``stop`` is called. Raises: CaptureError."""
        ...

    def stop(self) -> None:
        """End ``run`` as if the source had ended; what is being estimated is still given."""
        ...

    def set_quality(self, quality: QualityLevel) -> None:
        """Take the tracking rate and the frame rate of ``quality`` from the next frame on."""
        ...


class MotionConsumer(Protocol):
    """Takes motion: draws it into pictures, or sends it elsewhere."""

    async def __aenter__(self) -> MotionConsumer: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def consume(self, motion: TimedMotion) -> VideoFrame | None:
        """Take one motion; return the picture to send, or None where there is none (a bad motion, an uplink)."""
        ...

    def set_quality(self, quality: QualityLevel) -> None:
        """Take the picture size of ``quality`` from the next picture on. Callable from any thread."""
        ...
