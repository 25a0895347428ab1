"""The avatar of a session as the server knows it; ``assembly/server_avatars.py`` builds it from drivers and models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from livehead.config import FaceChoice, GainSettings
from livehead.drivers.network import NetworkMotionSource
from livehead.frames import Image
from livehead.interfaces import DriverInputs, Motion
from livehead.perception.portrait import Portrait
from livehead.pipeline import AnimatorProtocol
from livehead.protocol.messages import SettingsUpdate
from livehead.quality import QualityLevel

IMAGE_BACKGROUND = "image"
"""The ``background`` of settings that show the picture in ``AvatarSettings.backdrop``."""


@dataclass(frozen=True, slots=True, eq=False)
class AvatarSettings:
    """All that decides how an avatar looks and moves.

    ``backdrop``, uint8 [H, W, 3] RGB, is the picture of the background ``image``. ``feed`` is motion that another
    machine estimates; while there is one, ``driver`` is not used.
    """

    portrait: Portrait
    driver: str
    model: str
    mode: Literal["relative", "absolute"]
    gains: GainSettings
    background: str
    badge: bool
    backdrop: Image | None = None
    feed: NetworkMotionSource | None = None

    def updated_by(self, update: SettingsUpdate) -> AvatarSettings:
        """These settings with what ``update`` gives but its gains, which an avatar takes while it plays.

        A driver that is named takes the place of the feed.
        """
        return replace(
            self,
            driver=self.driver if update.driver is None else update.driver,
            model=self.model if update.model is None else update.model,
            mode=self.mode if update.mode is None else update.mode,
            background=self.background if update.background is None else update.background,
            badge=self.badge if update.badge is None else update.badge,
            feed=self.feed if update.driver is None else None,
        )

    def builds_same_avatar_as(self, other: AvatarSettings) -> bool:
        """Tell whether an update made nothing new that an avatar has to be built again for."""
        return (self.driver, self.model, self.mode, self.background, self.badge, self.feed) == (
            other.driver,
            other.model,
            other.mode,
            other.background,
            other.badge,
            other.feed,
        )


class AvatarRuntime(Protocol):
    """An avatar that is ready to play. Every method may be called from any thread."""

    @property
    def animator(self) -> AnimatorProtocol: ...

    @property
    def settings(self) -> AvatarSettings: ...

    @property
    def hardware(self) -> str: ...

    def set_gains(self, gains: GainSettings) -> None: ...

    def recalibrate(self) -> None: ...

    def close(self, successor: AvatarRuntime | None) -> None:
        """Free what ``successor`` does not take over; called on the thread that calls ``estimate``."""
        ...


class AvatarFactory(Protocol):
    """Builds avatars. Its methods block, so they are called on threads."""

    @property
    def drivers(self) -> tuple[str, ...]: ...

    @property
    def models(self) -> tuple[str, ...]: ...

    def default_settings(self) -> AvatarSettings: ...

    def prepare_portrait(self, pixels: Image, face: FaceChoice = "largest") -> Portrait:
        """Prepare the ``face`` of a photo, uint8 [H, W, 3] RGB. Raises: SourceError, NoFaceError."""
        ...

    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        """Build an avatar. ``previous`` still plays; its driver and calibration are used again where they fit.

        Raises: LiveheadError.
        """
        ...


@dataclass(frozen=True, slots=True)
class _TaggedMotion:
    """A motion and the avatar that it is for, so that no avatar draws the motion of another."""

    runtime: AvatarRuntime
    motion: Motion

    @property
    def set(self) -> str:
        return self.motion.set

    @property
    def captured_ns(self) -> int:
        return self.motion.captured_ns

    @property
    def seen(self) -> bool:
        return bool(getattr(self.motion, "seen", True))

    @property
    def sighting(self) -> object:
        return getattr(self.motion, "sighting", None)


class SwitchableAnimator:
    """An animator whose avatar can be changed between two pictures.

    ``on_motion`` is called with each motion, on the thread that estimated it.
    """

    def __init__(self, runtime: AvatarRuntime, on_motion: Callable[[Motion], None] = lambda motion: None) -> None:
        self._runtime = runtime
        self._on_motion = on_motion
        self._lock = threading.Lock()
        self._driver_lock = threading.Lock()
        self._retired: list[AvatarRuntime] = []
        self._quality: QualityLevel | None = None
        self._last_image: Image | None = None
        self.frozen = False
        """While this is set, the last picture is repeated, whichever avatar plays."""

    @property
    def runtime(self) -> AvatarRuntime:
        """The avatar runtime that draws at present."""
        return self._runtime

    def switch_to(self, runtime: AvatarRuntime) -> None:
        """Play ``runtime`` from now on; the one before is closed when its last call is over."""
        with self._lock:
            if self._quality is not None:
                runtime.animator.set_quality(self._quality)
            self._retired.append(self._runtime)
            self._runtime = runtime

    def estimate(self, inputs: DriverInputs) -> _TaggedMotion:
        """Have the runtime's own driver look at ``inputs``; on the driver's thread."""
        with self._driver_lock:
            runtime = self._close_retired()
            motion = runtime.animator.estimate(inputs)
        self._on_motion(motion)
        return _TaggedMotion(runtime, motion)

    def tag(self, motion: Motion) -> _TaggedMotion:
        """Mark motion that came over the network as that of the runtime in force; on the event loop."""
        if self._driver_lock.acquire(blocking=False):  # else a driver is at work still, and closes them afterwards
            try:
                self._close_retired()
            finally:
                self._driver_lock.release()
        self._on_motion(motion)
        return _TaggedMotion(self._runtime, motion)

    def _close_retired(self) -> AvatarRuntime:
        """Close the runtimes that were left, as no driver of theirs is at work; gives the one in force."""
        with self._lock:
            runtime = self._runtime
            leaving, self._retired = self._retired, []
        for old in leaving:
            old.close(runtime)
        return runtime

    def draw(self, tagged: _TaggedMotion, moment_ns: int) -> Image:
        if not self.frozen or self._last_image is None:
            self._last_image = tagged.runtime.animator.draw(tagged.motion, moment_ns)
        return self._last_image

    def set_quality(self, quality: QualityLevel) -> None:
        with self._lock:
            self._quality = quality
            self._runtime.animator.set_quality(quality)

    def close(self) -> None:
        """Close every avatar; called after the last picture."""
        for runtime in self._retired:
            runtime.close(self._runtime)
        self._runtime.close(None)
