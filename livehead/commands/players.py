"""Who plays in ``livehead serve``: the avatars that pages ask for, made of livehead's own drivers and models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from livehead.commands.compose import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    Company,
    assemble,
    driver_name,
    keeps_up,
    make_driver,
    open_portraits,
    to_gains,
)
from livehead.commands.conr import require_faces
from livehead.commands.options import say
from livehead.config import GainSettings, PictureSettings, RunSettings
from livehead.frames import Image
from livehead.governor import Quality, ladder
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.registry import names
from livehead.renderers.store import AvatarStore
from livehead.server.stage import IMAGE, Choice, Stage

_OFFERED = ("face", "voice", "face+voice", "idle")  # of the drivers that are installed, those a page can feed


class Playing:
    """A ``Stage``: one company, and the driver that it may hand on to the next."""

    def __init__(self, choice: Choice, company: Company, driver: Driver[Keypoints]) -> None:
        self.choice = choice
        self.company = company
        self.driver = driver
        self.performer = company.animator
        self.hardware = company.hardware

    def set_gains(self, gains: GainSettings) -> None:
        self.choice = replace(self.choice, gains=gains)
        self.company.set_gains(to_gains(gains))

    def recalibrate(self) -> None:
        self.company.recalibrate()

    def close(self, successor: Stage | None) -> None:
        if isinstance(successor, Playing) and successor.driver is self.driver:
            return
        close: Any = getattr(self.driver, "close", None)
        if close is not None:
            close()


class Players:
    """A ``Troupe`` of livehead's own models. Guests' photos are kept in ``folder`` only, which goes with the server."""

    def __init__(
        self,
        settings: RunSettings,
        avatar: Path,
        folder: Path,
        *,
        measured: bool = False,
        inform: Callable[[str], None] = say,
    ) -> None:
        """``measured``: there is a model ``passthrough`` too, which shows what all but the avatar costs.

        ``inform`` gets what the person who serves should know.
        """
        self._measured = measured
        self._inform = inform
        self._settings = settings
        self._guests = AvatarStore(folder)
        self._own = AvatarStore()
        require_faces(settings.model)
        [portrait] = open_portraits([avatar], self._own, inform)
        known = names("renderers")
        self.models: tuple[str, ...] = tuple(name for name in (DEFAULT_MODEL, FALLBACK_MODEL) if name in known)
        if settings.model not in ("auto", *self.models):
            self.models = (settings.model, *self.models)
        installed = names("drivers")
        self.drivers: tuple[str, ...] = tuple(name for name in _OFFERED if name in installed)
        driver = driver_name(settings.driver, settings.model, settings.precision)
        if driver not in self.drivers:
            self.drivers = (driver, *self.drivers)
        self._first = Choice(
            portrait=portrait,
            driver=driver,
            model=DEFAULT_MODEL if settings.model == "auto" else settings.model,
            mode=settings.mode,
            gains=settings.gains,
            background=settings.picture.background,
            badge=settings.picture.badge,
        )
        self._waiting: Stage | None = None
        if settings.model == "auto":
            self._waiting = self._quick_enough()
        elif self._first.model in known:
            self._waiting = self._play(self._first)

    def _quick_enough(self) -> Playing:
        """The default model, or the quicker one where it is too slow."""
        playing = self._play(self._first)
        if keeps_up(playing.company, self._settings.stream.fps):
            return playing
        fps = self._settings.stream.fps
        self._inform(f"{DEFAULT_MODEL} is too slow for {fps:g} fps here, so {FALLBACK_MODEL} draws at first")
        self._first = replace(self._first, model=FALLBACK_MODEL)
        return self._play(self._first, playing)

    def first_choice(self) -> Choice:
        return self._first

    def portrait(self, pixels: Image) -> Portrait:
        return self._guests.portrait(pixels, "your photo")

    def stage(self, choice: Choice, previous: Stage | None) -> Stage:
        if self._measured and choice.model == "passthrough":
            from livehead.commands.bench_webrtc import PassThrough

            return PassThrough(choice, self._settings.stream.size)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and choice is self._first:
            return waiting
        return self._play(choice, previous if isinstance(previous, Playing) else None)

    def _play(self, choice: Choice, previous: Playing | None = None) -> Playing:
        driver = calibration = None
        if previous is not None:
            same_performer = previous.choice.feed is choice.feed
            calibration = previous.company.calibration if same_performer else None
            if previous.choice.driver == choice.driver and same_performer:
                driver = previous.driver
        driver = (
            driver
            or choice.feed
            or make_driver(choice.driver, [choice.portrait], choice.model, self._settings.precision)
        )
        shown = choice.background == IMAGE
        picture = PictureSettings(
            fit=self._settings.picture.fit,
            background="keep" if shown else choice.background,
            badge=choice.badge,
        )
        settings = self._settings.model_copy(
            update={"model": choice.model, "mode": choice.mode, "gains": choice.gains, "picture": picture}
        )
        company = assemble(
            settings,
            [choice.portrait],
            driver,
            self._own if choice.portrait is self._first.portrait else self._guests,
            calibration=calibration,
            backdrop=choice.backdrop if shown else None,
            see_through=True,
        )
        company.warm_up(ladder(Quality(settings.render_size, 1, settings.stream.fps)))
        return Playing(choice, company, driver)
