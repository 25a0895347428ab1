"""An avatar for programs that embed livehead: one call loads it, one call a picture animates it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

from livehead.animator import Animator
from livehead.assembly.input_checks import check_model
from livehead.assembly.live_avatar import LiveAvatar, build_live_avatar, initial_calibration, make_driver
from livehead.avatars.cache import AvatarCache
from livehead.clock import now_ns
from livehead.compositing.background import check_background
from livehead.config import FaceChoice, RunSettings, parse_settings
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Driver, DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.perception.avatar_photo import read_avatar_photo
from livehead.perception.portrait import Portrait
from livehead.registry import find_driver

_TIME_BASE = Fraction(1, 1_000_000_000)


def load_avatar(
    photo: str | Path | Image,
    *,
    driver: str = "face",
    model: str = "auto",
    size: tuple[int, int] = (512, 512),
    background: str = "keep",
    precision: str = "auto",
    render_size: int = 512,
    face: FaceChoice = "largest",
) -> LoadedAvatar:
    """Prepare an avatar of ``photo``, a file or uint8 [H, W, 3] RGB, and the driver that will move it.

    Use a photo of a real person only with that person's consent. ``driver``, ``model``, ``background`` and
    ``precision`` are named as on the command line; ``size`` is the (width, height) of the pictures that ``animate``
    gives, ``render_size`` the side of the square that is rendered, all in pixels. ``face``: which one
    of several in the photo, largest, left, right or a number from the left. A photo that was prepared before is taken
    from the cache.

    Raises: ConfigError for a setting that cannot work, SourceError for a photo without a face, WeightsError.
    """
    settings = parse_settings(
        RunSettings,
        {
            "model": model,
            "driver": driver,
            "precision": precision,
            "render_size": render_size,
            "stream": {"size": size},
            "picture": {"background": background, "face": face},
        },
        where="load_avatar",
    )
    name, _, argument = driver.partition(":")
    find_driver(name).check(argument)
    check_model(model, precision)
    check_background(background)
    store = AvatarCache()
    pixels, photo_name = (
        (read_avatar_photo(Path(photo)).source, Path(photo).name)
        if isinstance(photo, (str, Path))
        else (photo, "photo")
    )
    portrait = store.get_portrait(pixels, photo_name, face=settings.picture.face)
    performer = make_driver(driver, [portrait], model, precision)
    live_avatar = build_live_avatar(settings, [portrait], performer, store, calibration=initial_calibration(performer))
    return LoadedAvatar(live_avatar, portrait, performer)


class LoadedAvatar:
    """An avatar with its driver: ``animate`` turns what the driver looks at into the avatar's picture.

    ``with load_avatar(...) as avatar`` frees the driver's trackers at the end. One thread uses it at a time.
    """

    def __init__(self, live_avatar: LiveAvatar, portrait: Portrait, driver: Driver[Keypoints]) -> None:
        self.portrait = portrait
        """The photo as livehead sees it: its crop, its face mesh, and hints on what could be better."""
        self._live_avatar = live_avatar
        self._driver = driver

    @property
    def animator(self) -> Animator:
        """Driver, motion transfer, renderer and compositor in one, as ``Pipeline.from_animator`` takes it."""
        return self._live_avatar.animator

    @property
    def hardware(self) -> str:
        """The hardware and precision that draw the avatar here."""
        return self._live_avatar.hardware

    def animate(
        self, image: Image | None = None, audio: AudioFrame | None = None, *, at_ns: int | None = None
    ) -> Image:
        """The avatar in the motion of the performer: uint8 [height, width, 3] RGB of the size it was loaded for.

        ``image``: the camera's picture, uint8 [H, W, 3] RGB; None where the driver hears or idles. ``audio``: the last
        moments of sound, for drivers that hear. ``at_ns``: the monotonic moment of both, now if None; times that grow
        by less than they really do give slow motion.
        """
        at_ns = now_ns() if at_ns is None else at_ns
        frame = None if image is None else VideoFrame(image, at_ns, _TIME_BASE, at_ns)
        return self.animator.animate(DriverInputs(frame, audio, at_ns))

    def recalibrate(self) -> None:
        """Take the performer's next calm, frontal face as neutral."""
        self._live_avatar.recalibrate()

    def close(self) -> None:
        """Free the driver's trackers."""
        self._driver.close()

    def __enter__(self) -> LoadedAvatar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
