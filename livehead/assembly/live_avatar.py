"""From settings, photos and a driver to a live avatar: renderer, motion transfer, compositor and animator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.animator import Animator, AvatarScene
from livehead.assembly.conr import require_face_model, require_photo
from livehead.assembly.dagan import CHECKPOINTS, weights_version
from livehead.avatars.cache import AvatarCache, AvatarStore
from livehead.compositing.background import NONE
from livehead.compositing.portrait_compositor import PortraitCompositor
from livehead.config import FaceChoice, GainSettings, RunSettings
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.interfaces import Driver, Renderer
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.transfer import MotionGains, MotionTransfer
from livehead.motion.synthesis.idle_blend import IdleBlend
from livehead.motion.synthesis.rigid_idle import make_idle_motion
from livehead.motion.synthesis.voice_fallback import VoiceFallback
from livehead.perception.avatar_photo import read_avatar_photo
from livehead.perception.portrait import Portrait
from livehead.quality import QualityLevel
from livehead.registry import find_driver, find_renderer
from livehead.threads import limit_helper_threads, live_network_threads

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

DEFAULT_MODEL = "compact"
FALLBACK_MODEL = "warp"
"""For live pictures where nobody chose a model and the default one is too slow."""

CONSENT_NOTICE = (
    "Animate a photo of a real person only with that person's consent, and tell those who watch that it is an avatar."
)


@dataclass(frozen=True, slots=True, eq=False)
class LiveAvatar:
    """An animator, what it was made of, and what changes while it runs. All transfers share one ``calibration``."""

    animator: Animator
    renderer: Renderer[Any, Any, Any]
    avatars: tuple[Any, ...]
    transfers: tuple[MotionTransfer, ...]
    calibration: NeutralCalibration
    render_size: int
    """Side in pixels of the rendered square at full quality."""

    @property
    def hardware(self) -> str:
        """The hardware and precision that draw the avatar here."""
        return self.renderer.hardware

    def warm_up(self, quality_levels: Iterable[QualityLevel]) -> None:
        """Draw once at each size of ``quality_levels``, so that no fall of quality has to wait for what it compiles."""
        for size in {level.size for level in quality_levels}:
            self.renderer.render(self.avatars[0], self.avatars[0].motion, size)

    def recalibrate(self) -> None:
        """Look for the performer's neutral face anew, and, where there are several, for the largest face."""
        self.animator.choose_face_anew()
        self.animator.call_before_next_frame(self.calibration.restart)

    def set_gains(self, gains: MotionGains) -> None:
        """Change the gains of all avatars."""

        def apply_gains() -> None:
            for transfer in self.transfers:
                transfer.gains = gains

        self.animator.call_before_next_frame(apply_gains)


def make_renderer(
    name: str, size: int, *, alpha: bool = False, precision: str = "auto", threads: int | None = None
) -> Renderer[Any, Any, Any]:
    """The renderer called ``name``; ``threads`` for its network, all cores if None.

    Raises: ConfigError for an unknown name, WeightsError.
    """
    factory = find_renderer(DEFAULT_MODEL if name == "auto" else name)
    return factory.create(size, alpha=alpha, precision=precision, threads=threads)


def open_portraits(
    paths: Sequence[Path], store: AvatarCache, notify: Callable[[str], None], face: FaceChoice = "largest"
) -> list[Portrait]:
    """Photos as portraits, each of its ``face``; of an animation or a video the best picture is taken.

    ``notify`` gets the consent line once for each new photo, and what could be better of each. Raises: SourceError.
    """
    if not paths:
        raise ConfigError("there is no avatar", "name a photo with --avatar")
    portraits = []
    for path in paths:
        require_photo(path)
        photo = read_avatar_photo(path)
        if photo.place:
            notify(f"{path.name}: {photo.place} is used")
        portrait = store.get_portrait(photo.source, path.name, face=face)
        if not store.was_consent_shown(portrait.digest):
            notify(CONSENT_NOTICE)
            store.record_consent_shown(portrait.digest)
        if portrait.face_note:
            notify(f"{path.name}: {portrait.face_note} --face left, right or a number takes another.")
        for hint in portrait.hints:
            notify(f"{path.name}: {hint}")
        portraits.append(portrait)
    return portraits


def resolve_driver_name(spec: str, model: str, precision: str = "auto") -> str:
    """``spec`` in full: ``auto`` is the driver that gives the points ``model`` takes; ``dagan`` the model's own one."""
    learned = f"dagan:{model}" if precision == "auto" else f"dagan:{model}/{precision}"
    own = learned if model in CHECKPOINTS else "face"
    if spec == "auto" or (spec == "dagan" and model in CHECKPOINTS):
        return own
    return spec


def make_driver(
    spec: str, portraits: Sequence[Portrait], model: str = "auto", precision: str = "auto"
) -> Driver[Keypoints]:
    """The driver that ``spec`` names, for ``model`` in ``precision``. Raises: ConfigError, WeightsError."""
    name, _, argument = resolve_driver_name(spec, model, precision).partition(":")
    return find_driver(name).create(argument, portraits[0])


def initial_calibration(driver: Driver[Keypoints] | None) -> NeutralCalibration:
    """The calibration that a run starts with: the driver's own neutral motion, or one that still has to be found."""
    return NeutralCalibration(None if driver is None else driver.neutral_motion)


def build_live_avatar(
    settings: RunSettings,
    portraits: Sequence[Portrait],
    driver: Driver[Keypoints] | None,
    store: AvatarStore,
    *,
    motion_set: str = "",
    calibration: NeutralCalibration | None = None,
    on_motion: Callable[[Keypoints], None] | None = None,
    size: tuple[int, int] | None = None,
    background_image: Image | None = None,
    allow_transparent: bool = False,
    create_renderer: Callable[..., Renderer[Any, Any, Any]] = make_renderer,
) -> LiveAvatar:
    """Build all that lies between the driver's inputs and pictures of ``size`` (None: the stream's).

    ``driver`` None: motion of ``motion_set`` comes over the network. ``background_image``: uint8 [H, W, 3] RGB, in
    place of the background that the settings name. ``allow_transparent``: those who get the pictures also take
    pictures without any background. ``create_renderer``: called as ``make_renderer``, for renderers that are shared.
    Raises: ConfigError, SourceError.
    """
    require_face_model(settings.model)
    picture = settings.picture
    background = picture.background if background_image is None else background_image
    _require_visible_background(picture.background, allow_transparent)
    alpha = background_image is not None or picture.background != "keep"
    alpha |= any(portrait.cutout is not None for portrait in portraits)
    limit_helper_threads()
    renderer = create_renderer(
        settings.model, settings.render_size, alpha=alpha, precision=settings.precision, threads=live_network_threads()
    )
    calibration = calibration or NeutralCalibration()
    version, gains = weights_version(settings.model), to_gains(settings.gains)
    scenes, transfers = [], []
    for portrait in portraits:
        avatar = store.get_avatar(portrait, renderer, version)
        transfer = MotionTransfer(avatar.motion, mode=settings.mode, gains=gains, calibration=calibration)
        compositor = PortraitCompositor(portrait, size or settings.stream.size, picture.fit, background, picture.badge)
        transfers.append(transfer)
        unseen_motion = make_idle_motion(avatar.motion)
        if driver is not None and driver.has_unseen_motion:
            speaking = MotionTransfer(avatar.motion, gains=gains, calibration=NeutralCalibration(portraits[0].motion))
            transfers.append(speaking)
            unseen_motion = VoiceFallback(driver.unseen_motion, speaking, unseen_motion)
        scenes.append(AvatarScene(portrait.name, avatar, transfer, IdleBlend(unseen_motion, avatar.motion), compositor))
    animator = Animator(driver, renderer, scenes, motion_set=motion_set, size=settings.render_size, on_motion=on_motion)
    avatars = tuple(scene.avatar for scene in scenes)
    renderer.render(avatars[0], avatars[0].motion, settings.render_size)  # compile before a camera is opened
    return LiveAvatar(animator, renderer, avatars, tuple(transfers), calibration, settings.render_size)


def _require_visible_background(background: str, allow_transparent: bool) -> None:
    """Refuse a picture without a background where its viewers need one. Raises: ConfigError."""
    if background == NONE and not allow_transparent:
        raise ConfigError(
            "no background at all is for films and pages that can show it",
            "write to OUT.webm, OUT.mov or frames/%05d.png, or use livehead serve; or give a colour",
        )


def to_gains(settings: GainSettings) -> MotionGains:
    """The transfer's gains as settings name them."""
    return MotionGains(**settings.model_dump())
