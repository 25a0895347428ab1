"""The roles that captures, sinks, drivers, avatars and renderers play, as protocols of two or three methods each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from livehead.frames import AudioFrame, Frame, Image, VideoFrame


class EndOfStream(Exception):  # noqa: N818 - a signal, as StopIteration is
    """A capture has given its last frame."""


class Capture(Protocol):
    """A media end that gives frames: a camera, a microphone, a file."""

    async def __aenter__(self) -> Capture: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def recv(self) -> Frame:
        """Return the next frame. Raises: EndOfStream after the last, CaptureError when the device is gone for good."""
        ...


class Sink(Protocol):
    """A media end that takes frames: a virtual camera, a window, a file."""

    async def __aenter__(self) -> Sink: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def send(self, frame: Frame) -> None:
        """Take one frame and return when the sink is ready for the next. Raises: SinkError."""
        ...


class Motion(Protocol):
    """The motion that a driver estimates and a renderer takes: key points or a body pose. ``set`` names its points."""

    @property
    def set(self) -> str: ...

    @property
    def captured_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DriverInputs:
    """All that a driver may look at: the newest camera frame, the last moments of sound, and the time."""

    frame: VideoFrame | None
    audio: AudioFrame | None
    now_ns: int


MotionT_co = TypeVar("MotionT_co", bound=Motion, covariant=True)
MotionT_contra = TypeVar("MotionT_contra", bound=Motion, contravariant=True)
SourceT_contra = TypeVar("SourceT_contra", contravariant=True)
AvatarT = TypeVar("AvatarT", bound="Avatar")
AvatarT_co = TypeVar("AvatarT_co", bound="Avatar", covariant=True)


class Driver(Protocol[MotionT_co]):
    """Estimates the performer's motion. It is called from one worker thread and may keep state between calls."""

    has_unseen_motion: bool
    """Whether ``unseen_motion`` ever gives any."""

    @property
    def motion_set(self) -> str:
        """The name of the set of points that ``estimate`` returns."""
        ...

    def estimate(self, inputs: DriverInputs) -> MotionT_co:
        """Estimate the motion at ``inputs``.

        Confidence 0 means that nothing was seen; the value is then the last good one.
        """
        ...

    @property
    def neutral_motion(self) -> MotionT_co | None:
        """The performer's neutral motion where the driver knows it beforehand, as from a recording; else None."""
        ...

    def unseen_motion(self) -> MotionT_co | None:
        """Return the avatar's motion while nobody is seen, in its own points, as from a voice; None lets it idle."""
        ...

    def choose_face_anew(self) -> None:
        """Follow whoever's face is the largest from the next frame on; callable from any thread."""
        ...

    def close(self) -> None:
        """Free trackers and networks, after the last ``estimate``."""
        ...


class BaseDriver:
    """A base for drivers that know no neutral motion, hear nothing and hold nothing that must be freed."""

    has_unseen_motion: bool = False
    """Whether ``unseen_motion`` ever gives any."""

    @property
    def neutral_motion(self) -> Any:
        """None, since the performer's neutral motion has to be found."""
        return None

    def unseen_motion(self) -> Any:
        """Return None, so that the avatar idles while nobody is seen."""
        return None

    def choose_face_anew(self) -> None:
        """Do nothing, since nobody is chosen among several faces; callable from any thread."""

    def close(self) -> None:
        """Do nothing, since there is nothing to free."""


class Avatar(Protocol):
    """A source that a renderer has prepared once: immutable, and cacheable on disk."""

    @property
    def motion(self) -> Motion:
        """The source's own motion: rendering it gives the source back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RenderRequest(Generic[AvatarT_co, MotionT_co]):
    """One picture that a renderer is asked for: ``avatar`` in ``motion``, ``size`` pixels wide and high."""

    avatar: AvatarT_co
    motion: MotionT_co
    size: int


class Renderer(Protocol[SourceT_contra, AvatarT, MotionT_contra]):
    """Draws avatars. It holds no avatar and no size of its own, is synchronous, and does no I/O."""

    @property
    def avatar_type(self) -> type[AvatarT]:
        """The class of the avatars that ``prepare`` returns: a frozen dataclass, which the avatar cache can store."""
        ...

    @property
    def motion_sets(self) -> frozenset[str]:
        """The names of the sets of points that ``render`` takes."""
        ...

    @property
    def hardware(self) -> str:
        """The hardware that draws here and the precision in words, for example ``processor, fp32``."""
        ...

    def prepare(self, source: SourceT_contra) -> AvatarT:
        """Compute everything that depends on the source alone. Raises: SourceError."""
        ...

    def render(self, avatar: AvatarT, motion: MotionT_contra, size: int) -> Image:
        """Draw the avatar in that motion: uint8 [size, size, 3] RGB, or RGBA with straight alpha."""
        ...

    def render_many(self, requests: Sequence[RenderRequest[AvatarT, MotionT_contra]]) -> list[Image]:
        """Draw all ``requests`` and return their pictures in order; the network draws as many at once as it can."""
        ...
