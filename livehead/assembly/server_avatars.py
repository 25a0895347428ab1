"""Who plays in ``livehead serve``: the avatars that pages ask for, made of livehead's own drivers and models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from livehead.assembly.avatar_runtime import IMAGE_BACKGROUND, AvatarRuntime, AvatarSettings
from livehead.assembly.conr import require_face_model
from livehead.assembly.live_avatar import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    LiveAvatar,
    build_live_avatar,
    is_realtime,
    make_driver,
    open_portraits,
    resolve_driver_name,
    to_gains,
)
from livehead.assembly.shared_renderers import SharedRenderers, warm_up_batches
from livehead.avatars.cache import AvatarCache
from livehead.config import GainSettings, PictureSettings, RunSettings
from livehead.frames import Image
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.quality import QualityLevel, quality_levels
from livehead.registry import list_names

log = logging.getLogger(__name__)

_PAGE_DRIVERS = ("face", "voice", "face+voice", "idle")  # of the drivers that are installed, those a page can feed


class ActiveAvatar:
    """A ``Stage``: one company, and the driver that it may hand on to the next."""

    def __init__(self, settings: AvatarSettings, live_avatar: LiveAvatar, driver: Driver[Keypoints] | None) -> None:
        self.settings = settings
        self.live_avatar = live_avatar
        self.driver = driver
        self.animator = live_avatar.animator
        self.hardware = live_avatar.hardware

    def set_gains(self, gains: GainSettings) -> None:
        self.settings = replace(self.settings, gains=gains)
        self.live_avatar.set_gains(to_gains(gains))

    def recalibrate(self) -> None:
        self.live_avatar.recalibrate()

    def close(self, successor: AvatarRuntime | None) -> None:
        if isinstance(successor, ActiveAvatar) and successor.driver is self.driver:
            return
        if self.driver is not None:
            self.driver.close()


class ServerAvatarFactory:
    """A ``Troupe`` of livehead's own models. Guests' photos are kept in ``folder`` only, which goes with the server."""

    def __init__(
        self,
        settings: RunSettings,
        avatar: Path,
        folder: Path,
        *,
        notify: Callable[[str], None] = log.info,
    ) -> None:
        """``notify`` gets what the person who serves should know."""
        self._notify = notify
        self._settings = settings
        self._guest_store = AvatarCache(folder)
        self._own_store = AvatarCache()
        self._shared_renderers = SharedRenderers()
        require_face_model(settings.model)
        [portrait] = open_portraits([avatar], self._own_store, notify)
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
        if self._prepared is not None:
            warm_up_batches(self._prepared.live_avatar, settings.stream.fps)

    def _prepare_realtime_avatar(self) -> ActiveAvatar:
        """The default model, or the quicker one where it is too slow."""
        playing = self._build_avatar(self._default_settings)
        if is_realtime(playing.live_avatar, self._settings.stream.fps):
            return playing
        fps = self._settings.stream.fps
        self._notify(f"{DEFAULT_MODEL} is too slow for {fps:g} fps here, so {FALLBACK_MODEL} draws at first")
        self._default_settings = replace(self._default_settings, model=FALLBACK_MODEL)
        return self._build_avatar(self._default_settings, playing)

    def default_settings(self) -> AvatarSettings:
        return self._default_settings

    def prepare_portrait(self, pixels: Image) -> Portrait:
        return self._guest_store.get_portrait(pixels, "your photo")

    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        waiting, self._prepared = self._prepared, None
        if waiting is not None and settings is self._default_settings:
            return waiting
        return self._build_avatar(settings, previous if isinstance(previous, ActiveAvatar) else None)

    def _build_avatar(self, choice: AvatarSettings, previous: ActiveAvatar | None = None) -> ActiveAvatar:
        driver = calibration = None
        if previous is not None:
            same_performer = previous.settings.feed is choice.feed
            calibration = previous.live_avatar.calibration if same_performer else None
            if previous.settings.driver == choice.driver and same_performer:
                driver = previous.driver
        if driver is None and choice.feed is None:
            driver = make_driver(choice.driver, [choice.portrait], choice.model, self._settings.precision)
        shown = choice.background == IMAGE_BACKGROUND
        picture = PictureSettings(
            fit=self._settings.picture.fit,
            background="keep" if shown else choice.background,
            badge=choice.badge,
        )
        settings = self._settings.model_copy(
            update={"model": choice.model, "mode": choice.mode, "gains": choice.gains, "picture": picture}
        )
        company = build_live_avatar(
            settings,
            [choice.portrait],
            driver,
            self._own_store if choice.portrait is self._default_settings.portrait else self._guest_store,
            motion_set=choice.feed.motion_set if choice.feed is not None else "",
            calibration=calibration,
            background_image=choice.backdrop if shown else None,
            allow_transparent=True,
            create_renderer=self._shared_renderers.make_renderer,
        )
        company.warm_up(quality_levels(QualityLevel(settings.render_size, 1, settings.stream.fps)))
        return ActiveAvatar(choice, company, driver)
