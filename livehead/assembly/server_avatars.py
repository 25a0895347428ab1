"""The avatars of ``livehead serve``: built as pages ask for them, of livehead's own drivers and models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

from livehead.assembly.avatar_runtime import IMAGE_BACKGROUND, AvatarRuntime, AvatarSettings
from livehead.assembly.conr import require_face_model
from livehead.assembly.live_avatar import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    LiveAvatar,
    build_live_avatar,
    make_driver,
    open_portraits,
    resolve_driver_name,
    to_gains,
)
from livehead.assembly.realtime_trial import try_realtime
from livehead.assembly.shared_renderers import SharedRenderers, warm_up_batches
from livehead.avatars.cache import AvatarCache, MemoryAvatarStore
from livehead.config import FaceChoice, GainSettings, PictureSettings, RunSettings
from livehead.frames import Image
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.quality import QualityLevel, quality_levels
from livehead.registry import list_names

log = logging.getLogger(__name__)

_PAGE_DRIVERS = ("face", "voice", "face+voice", "idle")  # of the drivers that are installed, those a page can feed


class ActiveAvatar:
    """An ``AvatarRuntime``: a live avatar, and the driver that it may hand on to its successor."""

    def __init__(self, settings: AvatarSettings, live_avatar: LiveAvatar, driver: Driver[Keypoints] | None) -> None:
        self.settings = settings
        self.live_avatar = live_avatar
        self.driver = driver
        self.animator = live_avatar.animator
        self.hardware = live_avatar.hardware
        self.is_closed = False

    def set_gains(self, gains: GainSettings) -> None:
        self.settings = replace(self.settings, gains=gains)
        self.live_avatar.set_gains(to_gains(gains))

    def recalibrate(self) -> None:
        self.live_avatar.recalibrate()

    def close(self, successor: AvatarRuntime | None) -> None:
        self.is_closed = True
        if isinstance(successor, ActiveAvatar) and successor.driver is self.driver:
            return
        if self.driver is not None:
            self.driver.close()


class ServerAvatarFactory:
    """An ``AvatarFactory`` of livehead's own models.

    Guests' photos are kept in memory only, so that nothing of them outlives the server, however it ends. On a GPU
    sessions share one network a model.
    """

    def __init__(
        self,
        settings: RunSettings,
        avatar: Path,
        *,
        notify: Callable[[str], None] = log.info,
    ) -> None:
        """``notify`` gets what the person who serves should know."""
        self._notify = notify
        self._settings = settings
        self._guest_store = MemoryAvatarStore()
        self._own_store = AvatarCache()
        self._shared_renderers = SharedRenderers()
        self._active_avatars: WeakSet[ActiveAvatar] = WeakSet()
        self._batch_thread: threading.Thread | None = None
        require_face_model(settings.model)
        [portrait] = open_portraits([avatar], self._own_store, notify, settings.picture.face)
        known = list_names("renderers")
        self.models: tuple[str, ...] = tuple(name for name in (DEFAULT_MODEL, FALLBACK_MODEL) if name in known)
        if settings.model not in ("auto", *self.models):
            self.models = (settings.model, *self.models)
        installed = list_names("drivers")
        self.drivers: tuple[str, ...] = tuple(name for name in _PAGE_DRIVERS if name in installed)
        driver = resolve_driver_name(settings.driver, settings.model, settings.precision)
        if driver not in self.drivers:
            self.drivers = (driver, *self.drivers)
        self._default_settings = AvatarSettings(
            portrait=portrait,
            driver=driver,
            model=DEFAULT_MODEL if settings.model == "auto" else settings.model,
            mode=settings.mode,
            gains=settings.gains,
            background=settings.picture.background,
            badge=settings.picture.badge,
        )
        self._prepared: ActiveAvatar | None = None
        if settings.model == "auto":
            self._prepared = self._prepare_realtime_avatar()
        elif self._default_settings.model in known:
            self._prepared = self._build_avatar(self._default_settings)

    def _prepare_realtime_avatar(self) -> ActiveAvatar:
        """The default model, or the quicker one where it is too slow."""
        active = self._build_avatar(self._default_settings)
        trial = try_realtime(active.live_avatar, self._settings.stream.fps)
        if trial.keeps_up:
            return active
        self._notify(f"{DEFAULT_MODEL} is {trial.describe_excess()}, so {FALLBACK_MODEL} draws at first")
        self._default_settings = replace(self._default_settings, model=FALLBACK_MODEL)
        return self._build_avatar(self._default_settings, active)

    def default_settings(self) -> AvatarSettings:
        return self._default_settings

    def prepare_portrait(self, pixels: Image, face: FaceChoice = "largest") -> Portrait:
        return self._guest_store.get_portrait(pixels, "your photo", face=face)

    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and settings is self._default_settings:
            self._active_avatars.add(prepared)
            return prepared
        avatar = self._build_avatar(settings, previous if isinstance(previous, ActiveAvatar) else None)
        if previous is None and any(not other.is_closed for other in self._active_avatars):
            self._prepare_batches(avatar)
        self._active_avatars.add(avatar)
        return avatar

    def _prepare_batches(self, avatar: ActiveAvatar) -> None:
        """Have the network drawn in batches from now on, as a second session begins: beside it, on a thread.

        A server with one session pays neither the time nor the memory of what batches compile.
        """
        if self._batch_thread is None:
            arguments = (avatar.live_avatar, self._settings.stream.fps)
            self._batch_thread = threading.Thread(target=warm_up_batches, args=arguments, name="batches", daemon=True)
            self._batch_thread.start()

    def _build_avatar(self, wanted: AvatarSettings, previous: ActiveAvatar | None = None) -> ActiveAvatar:
        driver = calibration = None
        if previous is not None:
            same_performer = previous.settings.feed is wanted.feed
            calibration = previous.live_avatar.calibration if same_performer else None
            if previous.settings.driver == wanted.driver and same_performer:
                driver = previous.driver
        if driver is None and wanted.feed is None:
            driver = make_driver(wanted.driver, [wanted.portrait], wanted.model, self._settings.precision)
        has_image = wanted.background == IMAGE_BACKGROUND
        picture = PictureSettings(
            fit=self._settings.picture.fit,
            background="keep" if has_image else wanted.background,
            badge=wanted.badge,
        )
        settings = self._settings.model_copy(
            update={"model": wanted.model, "mode": wanted.mode, "gains": wanted.gains, "picture": picture}
        )
        live_avatar = build_live_avatar(
            settings,
            [wanted.portrait],
            driver,
            self._own_store if wanted.portrait is self._default_settings.portrait else self._guest_store,
            motion_set=wanted.feed.motion_set if wanted.feed is not None else "",
            calibration=calibration,
            background_image=wanted.backdrop if has_image else None,
            allow_transparent=True,
            create_renderer=self._shared_renderers.make_renderer,
        )
        live_avatar.warm_up(quality_levels(QualityLevel(settings.render_size, 1, settings.stream.fps)))
        return ActiveAvatar(wanted, live_avatar, driver)
