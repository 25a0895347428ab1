"""Changes a session's avatar while the session goes on.

The next avatar is built on a thread and then takes the place of the one that plays, so that no picture is missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from livehead.assembly.avatar_runtime import IMAGE_BACKGROUND, AvatarFactory, AvatarSettings, SwitchableAnimator
from livehead.concurrency import Worker
from livehead.config import FaceChoice
from livehead.drivers.network import NetworkMotionSource
from livehead.errors import ConfigError, SessionError
from livehead.frames import Image
from livehead.perception.avatar_photo import choose_best_frame
from livehead.perception.photo_frames import PhotoFrame
from livehead.perception.portrait import Portrait
from livehead.protocol.messages import SHARE_RANGE, FaceBox, SettingsUpdate

ResultT = TypeVar("ResultT")


class AvatarSwitcher:
    """Applies what a page asks of its avatar to a session's ``animator``, one change after the other.

    ``ended`` is set when the session is over; ``require_running`` raises SessionError from the moment it is closing.
    ``on_change`` is called when ``busy``, ``frozen`` or the settings are new. ``release_feed`` is called when a driver
    takes the place of motion that came over the network.
    """

    def __init__(
        self,
        animator: SwitchableAnimator,
        avatar_factory: AvatarFactory,
        *,
        ended: asyncio.Event,
        require_running: Callable[[], None],
        on_change: Callable[[], None],
        release_feed: Callable[[], None],
    ) -> None:
        self.busy = False
        """Whether another avatar is being built."""
        self._animator = animator
        self._avatar_factory = avatar_factory
        self._ended = ended
        self._require_running = require_running
        self._on_change = on_change
        self._release_feed = release_feed
        self._servers_portrait = animator.runtime.settings.portrait
        self._worker = Worker("prepare")
        self._change_lock = asyncio.Lock()

    @property
    def settings(self) -> AvatarSettings:
        """The settings of the avatar that plays."""
        return self._animator.runtime.settings

    @property
    def hardware(self) -> str:
        """The name of what draws the avatar, for the page."""
        return self._animator.runtime.hardware

    @property
    def frozen(self) -> bool:
        """Tells whether the last picture is held."""
        return self._animator.frozen

    @property
    def page_portrait(self) -> Portrait | None:
        """The portrait that plays, if it is of a photo that the page gave; None for the server's own."""
        portrait = self.settings.portrait
        return None if portrait is self._servers_portrait else portrait

    @property
    def face_boxes(self) -> tuple[FaceBox, ...]:
        """The faces of the page's photo from left to right, as shares of its width and height."""
        portrait = self.page_portrait
        if portrait is None:
            return ()
        height, width = portrait.photo.shape[:2]
        size = np.array([width, height, width, height])
        shares = [np.clip(np.array(box) / size, *SHARE_RANGE).tolist() for box in portrait.face_boxes]
        return tuple((left, top, across, down) for left, top, across, down in shares)

    async def set_portrait(self, frames: Sequence[PhotoFrame], face: FaceChoice = "largest") -> None:
        """Animate the ``face`` of another photo, the best of ``frames``.

        Raises: SourceError, NoFaceError, SessionError.
        """
        self._require_running()
        frame = await self._run_on_worker(choose_best_frame, frames)
        await self._animate_photo(frame.image, face)

    async def choose_face(self, face: FaceChoice) -> None:
        """Animate another face of the photo that the page gave. Raises: ConfigError, SourceError, SessionError."""
        portrait = self.page_portrait
        if portrait is None:
            raise ConfigError("there is no photo of this page's to choose a face from", "choose a photo first")
        await self._animate_photo(portrait.photo, face)

    async def _animate_photo(self, pixels: Image, face: FaceChoice) -> None:
        portrait = await self._run_on_worker(self._avatar_factory.prepare_portrait, pixels, face)
        await self._rebuild(lambda current: replace(current, portrait=portrait))

    async def set_backdrop(self, pixels: Image) -> None:
        """Show ``pixels``, uint8 [H, W, 3] RGB, behind the avatar. Raises: LiveheadError."""
        await self._rebuild(lambda current: replace(current, backdrop=pixels, background=IMAGE_BACKGROUND))

    async def use_feed(self, feed: NetworkMotionSource) -> None:
        """Build the avatar for motion of ``feed``. Raises: ConfigError when the model does not take such motion."""
        if self.settings.feed is not feed:
            await self._rebuild(lambda current: replace(current, feed=feed))

    async def update_settings(self, update: SettingsUpdate) -> None:
        """Apply the settings that ``update`` gives. Raises: ConfigError, and what building the avatar raises."""
        self._check_update(update)
        if update.gains is not None:
            self._animator.runtime.set_gains(update.gains)
        if update.driver is not None and self.settings.feed is not None:
            self._release_feed()
        if update.face is not None:
            await self.choose_face(update.face)
        if not self.settings.updated_by(update).builds_same_avatar_as(self.settings):
            await self._rebuild(lambda current: current.updated_by(update))
        self._on_change()

    def recalibrate(self) -> None:
        """Look for the performer's neutral face anew."""
        self._animator.runtime.recalibrate()

    def set_frozen(self, on: bool) -> None:
        """Hold the last picture, or go on."""
        self._animator.frozen = on
        self._on_change()

    async def close(self) -> None:
        """Wait for an avatar that is being built, then free every avatar; after the last picture."""
        await asyncio.to_thread(self._worker.close)  # other sessions' calls go on meanwhile
        self._animator.close()

    def _check_update(self, update: SettingsUpdate) -> None:
        for kind, name, known in (
            ("driver", update.driver, self._avatar_factory.drivers),
            ("model", update.model, self._avatar_factory.models),
        ):
            if name is not None and name not in known:
                raise ConfigError(f"there is no such {kind} here", f"known are {', '.join(known)}")
        if update.background == IMAGE_BACKGROUND and self.settings.backdrop is None:
            raise ConfigError("there is no background image yet", "choose one first")

    async def _rebuild(self, edit: Callable[[AvatarSettings], AvatarSettings]) -> None:
        """Build the avatar of the edited settings on the thread and switch to it."""
        async with self._change_lock:
            self.busy = True
            self._on_change()
            try:
                self._require_running()
                previous = self._animator.runtime
                runtime = await self._run_on_worker(
                    self._avatar_factory.create_runtime, edit(previous.settings), previous
                )
                if self._ended.is_set():  # the animator closes, or has closed, without this one
                    runtime.close(previous)
                    raise session_ended_error()
                self._animator.switch_to(runtime)
            finally:
                self.busy = False
                self._on_change()

    async def _run_on_worker(self, fn: Callable[..., ResultT], *args: object) -> ResultT:
        """The result of ``fn(*args)``. Raises: SessionError if the session ends before its turn; what ``fn`` raises."""
        call = await self._worker.submit_and_wait(fn, *args)
        if call.cancelled():
            raise session_ended_error()
        return call.result()


def session_ended_error() -> SessionError:
    """The error for whatever is asked of a session that is closing or over (410 Gone)."""
    return SessionError("this session has ended", "join again", status=410)
