"""Joins driver, motion transfer and renderer in synchronous calls, for one performer and any number of avatars.

The two halves of a frame may run on a thread each: ``estimate`` looks at the performer, ``draw`` makes the picture.
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
    """A motion that tells whether the performer was seen."""

    @property
    def seen(self) -> bool: ...


MotionT = TypeVar("MotionT", bound=TrackedMotion, default=Keypoints)


class MotionRetargeter(Protocol[MotionT]):
    """Turns the performer's motion into the avatar's, as ``MotionTransfer`` does."""

    def apply(self, driving: MotionT, /) -> MotionT: ...


class IdleFallback(Protocol[MotionT]):
    """Gives idle motion while the performer is not seen, eased in and out, as ``IdleBlend`` does."""

    def apply(self, motion: MotionT, now_ns: int, /) -> MotionT: ...


class OutputCompositor(Protocol):
    """Turns the rendered square into the picture that is sent; ``PortraitCompositor`` is one."""

    def compose(self, rendered: Image) -> Image: ...


@dataclass(frozen=True, slots=True, eq=False)
class AvatarScene(Generic[MotionT]):
    """One avatar with the transfer, the idle motion and the compositor that belong to it alone."""

    name: str
    avatar: Avatar
    transfer: MotionRetargeter[MotionT]
    idle_fallback: IdleFallback[MotionT]
    compositor: OutputCompositor


class Animator(Generic[MotionT]):
    """Animates one of ``scenes`` at a time, rendered at ``size`` pixels square until ``set_quality`` says otherwise.

    With ``driver`` None, motion of ``motion_set`` comes from elsewhere, and ``draw`` alone is called. ``on_motion`` is
    called with each motion that the driver estimates, on the driver's thread; recordings are made with it.
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
        """The scene that was selected last."""
        return self._scenes[self._selected_index]

    @property
    def scenes(self) -> Sequence[AvatarScene[MotionT]]:
        """All scenes, in the order in which ``select_next_scene`` goes through them."""
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
        """Draw the picture to send: uint8 [H, W, 3] RGB.

        ``moment_ns`` is the moment of the picture, where ``motion`` is older.
        """
        self._apply_requests()
        if self.frozen and self._last_image is not None:
            return self._last_image
        moved = self._retarget_motion(motion, motion.captured_ns if moment_ns is None else moment_ns)
        return self._compose_frame(self._renderer.render(self._scenes[self._current_index].avatar, moved, self._size))

    def draw_many(self, motions: Sequence[MotionT]) -> list[Image]:
        """Draw all ``motions`` at once, with the same pictures as ``draw`` one after the other.

        This is quicker where nobody waits for the single picture.
        """
        self._apply_requests()
        if self.frozen and self._last_image is not None:
            return [self._last_image] * len(motions)
        avatar = self._scenes[self._current_index].avatar
        requests = [
            RenderRequest(avatar, self._retarget_motion(motion, motion.captured_ns), self._size) for motion in motions
        ]
        return [self._compose_frame(rendered) for rendered in self._renderer.render_many(requests)]

    def _apply_requests(self) -> None:
        """Carry out what was requested since the last picture."""
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
        """Run both halves of a frame, from inputs to the picture to send."""
        return self.draw(self.estimate(inputs))

    def select_next_scene(self) -> AvatarScene[MotionT]:
        """Change to the next avatar with a short cross-fade, and return its scene. Callable from any thread."""
        self._selected_index = (self._selected_index + 1) % len(self._scenes)
        return self._scenes[self._selected_index]

    def choose_face_anew(self) -> None:
        """Have the driver follow whoever's face is the largest from the next frame on. Callable from any thread."""
        if self._driver is not None:
            self._driver.choose_face_anew()

    def call_before_next_frame(self, request: Callable[[], None]) -> None:
        """Have ``request`` called on the drawing thread before the next picture. Callable from any thread."""
        self._requests.append(request)

    def set_quality(self, quality: QualityLevel) -> None:
        """Draw at the size of ``quality`` from the next picture on. Callable from any thread."""
        self._size = quality.size
