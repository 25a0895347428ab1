"""Driver, motion transfer and renderer in one synchronous call, for one performer and any number of avatars.

Its two halves may run on a thread each: ``estimate`` looks at the performer, ``draw`` makes the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from livehead.clock import now_ns
from livehead.compositing.cross_fade import CrossFade
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.interfaces import Avatar, Driver, DriverInputs, Motion, Renderer, RenderRequest
from livehead.motion.keypoints import Keypoints
from livehead.quality import QualityLevel


class TrackedMotion(Motion, Protocol):
    """A motion that tells whether there was anybody to be seen."""

    @property
    def seen(self) -> bool: ...


MotionT = TypeVar("MotionT", bound=TrackedMotion, default=Keypoints)


class MotionRetargeter(Protocol[MotionT]):
    """From the performer's motion to the avatar's: ``MotionTransfer``."""

    def apply(self, driving: MotionT, /) -> MotionT: ...


class IdleFallback(Protocol[MotionT]):
    """Idle motion while the performer is not seen, eased in and out: ``motion.presence.Presence``."""

    def apply(self, motion: MotionT, now_ns: int, /) -> MotionT: ...


class OutputCompositor(Protocol):
    """From the rendered square to the picture that is sent: ``Compositor``."""

    def compose(self, rendered: Image) -> Image: ...


@dataclass(frozen=True, slots=True, eq=False)
class AvatarScene(Generic[MotionT]):
    """One avatar with everything that is its own."""

    name: str
    avatar: Avatar
    transfer: MotionRetargeter[MotionT]
    idle_fallback: IdleFallback[MotionT]
    compositor: OutputCompositor


class Animator(Generic[MotionT]):
    """Animates one of ``scenes`` at a time, rendered at ``size`` pixels square until ``set_quality`` says otherwise.

    ``driver`` None: motion of ``motion_set`` comes from elsewhere, and ``draw`` alone is called. ``on_motion`` is
    called with each motion as the driver estimates it, on the driver's thread: by it, motion is recorded.
    Raises: ConfigError when the renderer does not take the driver's set of points; both are named.
    """

    def __init__(
        self,
        driver: Driver[MotionT] | None,
        renderer: Renderer[Any, Any, MotionT],
        scenes: Sequence[AvatarScene[MotionT]],
        *,
        size: int,
        motion_set: str = "",
        fade_s: float = 0.3,
        on_motion: Callable[[MotionT], None] | None = None,
    ) -> None:
        motion_set = motion_set if driver is None else driver.motion_set
        if motion_set not in renderer.motion_sets:
            taken = ", ".join(sorted(renderer.motion_sets))
            raise ConfigError(
                f"the driver gives {motion_set} and the renderer takes {taken}",
                "choose a driver and a model that share a set of points",
            )
        if not scenes:
            raise ConfigError("there is no avatar", "name a photo with --avatar")
        self._driver = driver
        self._renderer = renderer
        self._scenes = list(scenes)
        self._on_motion = on_motion
        self._fade = CrossFade(fade_s)
        self._current_index = 0
        self._selected_index = 0
        self._size = size
        self._last_image: Image | None = None
        self._requests: deque[Callable[[], None]] = deque()
        self.frozen = False
        """While set, ``draw`` gives its last picture again."""

    @property
    def selected_scene(self) -> AvatarScene[MotionT]:
        """The scene that was asked for last."""
        return self._scenes[self._selected_index]

    @property
    def scenes(self) -> Sequence[AvatarScene[MotionT]]:
        """All scenes, in the order of ``next_scene``."""
        return tuple(self._scenes)

    def estimate(self, inputs: DriverInputs) -> MotionT:
        """The performer's motion at ``inputs``, as the animator's own driver sees it."""
        if self._driver is None:
            raise ConfigError("this animator has no driver", "draw motion that comes from elsewhere")
        motion = self._driver.estimate(inputs)
        if self._on_motion is not None:
            self._on_motion(motion)
        return motion

    def draw(self, motion: MotionT, moment_ns: int | None = None) -> Image:
        """The picture to send: uint8 [H, W, 3] RGB. ``moment_ns``: of the picture, where ``motion`` is older."""
        self._apply_requests()
        if self.frozen and self._last_image is not None:
            return self._last_image
        moved = self._retarget_motion(motion, motion.captured_ns if moment_ns is None else moment_ns)
        return self._compose_frame(self._renderer.render(self._scenes[self._current_index].avatar, moved, self._size))

    def draw_many(self, motions: Sequence[MotionT]) -> list[Image]:
        """As ``draw`` of one after the other, but the renderer draws all at once: quicker, where none is waited for."""
        self._apply_requests()
        if self.frozen and self._last_image is not None:
            return [self._last_image] * len(motions)
        avatar = self._scenes[self._current_index].avatar
        requests = [
            RenderRequest(avatar, self._retarget_motion(motion, motion.captured_ns), self._size) for motion in motions
        ]
        return [self._compose_frame(rendered) for rendered in self._renderer.render_many(requests)]

    def _apply_requests(self) -> None:
        """Do what was asked for since the last picture."""
        while self._requests:
            self._requests.popleft()()
        if self.frozen and self._last_image is not None:
            return
        if self._selected_index != self._current_index:
            self._current_index = self._selected_index
            if self._last_image is not None:
                self._fade.start(self._last_image, now_ns())

    def _retarget_motion(self, motion: MotionT, moment_ns: int) -> MotionT:
        scene = self._scenes[self._current_index]
        live = scene.transfer.apply(motion) if motion.seen else motion
        return scene.idle_fallback.apply(live, moment_ns)

    def _compose_frame(self, rendered: Image) -> Image:
        picture = self._scenes[self._current_index].compositor.compose(rendered)
        self._last_image = self._fade.blend(picture, now_ns())
        return self._last_image

    def animate(self, inputs: DriverInputs) -> Image:
        """Both halves: from inputs to the picture to send."""
        return self.draw(self.estimate(inputs))

    def select_next_scene(self) -> AvatarScene[MotionT]:
        """Change to the next avatar with a short cross-fade; gives it. Callable from any thread."""
        self._selected_index = (self._selected_index + 1) % len(self._scenes)
        return self._scenes[self._selected_index]

    def call_before_next_frame(self, request: Callable[[], None]) -> None:
        """Have ``request`` called on the drawing thread before the next picture. Callable from any thread."""
        self._requests.append(request)

    def set_quality(self, quality: QualityLevel) -> None:
        """Take the governor's word from the next picture on. Callable from any thread."""
        self._size = quality.size
