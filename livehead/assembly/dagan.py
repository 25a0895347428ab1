"""The roof's carpentry for the published DaGAN: from imported checkpoints to its renderers and its driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from livehead.interfaces import Driver, Renderer
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.stats import cpu_info
from livehead.weights.catalog import find_publication
from livehead.weights.checkpoint_store import Library

if TYPE_CHECKING:
    from livehead.models.dagan.depth import FaceDepth
    from livehead.models.dagan.generator import Generator
    from livehead.models.dagan.keypoints import KeypointDetector
    from livehead.models.engine import Precision
    from livehead.perception.rgbd import RgbdDetector
    from livehead.renderers.dagan import DaganRenderer

CHECKPOINTS: Mapping[str, str] = MappingProxyType({"dagan": "dagan-vox-256", "dagan-spade": "dagan-spade-vox-256"})
"""Models that are published checkpoints, and which."""

_CALIBRATION_FRAMES = 3  # of the performance, of each of two persons, on which ranges are measured
DEPTH_CHECKPOINTS = ("dagan-depth-18", "dagan-depth-50")
"""Either serves; the released generators were trained with the first."""


def weights_version(model: str) -> str:
    """What tells avatars of one checkpoint from those of another; empty for models that ship. Raises: WeightsError."""
    if model not in CHECKPOINTS:
        return ""
    library = Library()
    return " ".join(library.entry(name).sha256 for name in (CHECKPOINTS[model], _depth_checkpoint(library, model)))


def dagan_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan``: the published generator. Raises: WeightsError with how to get it, ConfigError."""
    return _load_renderer("dagan", size, alpha=alpha, precision=precision, threads=threads)


def dagan_spade_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan-spade``: the published one with the SPADE decoder. Raises: WeightsError, ConfigError."""
    return _load_renderer("dagan-spade", size, alpha=alpha, precision=precision, threads=threads)


def dagan_driver(argument: str, portrait: Portrait) -> Driver[Keypoints]:
    """``dagan``, or ``dagan:MODEL/PRECISION`` for the eyes of that very renderer. Raises: WeightsError, ConfigError."""
    from livehead.drivers.dagan import DaganDriver

    model, _, precision = argument.partition("/")
    return DaganDriver(load_detector(model or "dagan", precision or "auto"))


def load_detector(model: str, precision: str) -> RgbdDetector:
    """The eyes of ``model``, loaded once for its renderer and its driver. Raises: WeightsError, ConfigError."""
    library = Library()
    checkpoint = CHECKPOINTS.get(model, model)
    _require_imported(library, checkpoint, model)
    depth = _depth_checkpoint(library, model)
    content = (library.entry(checkpoint).sha256, library.entry(depth).sha256)
    return _load_cached_detector(library.folder, model, checkpoint, depth, content, precision)


def _load_renderer(
    model: str, size: int, *, alpha: bool, precision: str, threads: int | None
) -> Renderer[Any, Any, Any]:
    import torch

    from livehead.renderers.dagan import DaganRenderer

    torch.set_num_threads(threads or cpu_info()[1])
    eyes = load_detector(model, precision)
    library = Library()
    network = cast("Generator", library.load(CHECKPOINTS[model], ["generator"])["generator"])
    ranges = library.ranges(model, _checkpoint_names(library, model)).get("generator")
    renderer = DaganRenderer(network, eyes, size, alpha=alpha, ranges=ranges)
    if renderer.setting.integer:
        torch.set_num_threads(1)  # the parts that cost have threads of their own by now
    return renderer


@lru_cache(maxsize=2)
def _load_cached_detector(
    folder: Path, model: str, checkpoint: str, depth: str, sha256s: tuple[str, str], precision: str
) -> RgbdDetector:
    """``content``: sha256 of both, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.dagan.depth import DepthDecoder, FaceDepth
    from livehead.models.dagan.resnet import ResNet
    from livehead.models.engine import choose_setting
    from livehead.perception.rgbd import RgbdDetector

    library = Library(folder)
    ranges = library.ranges(model, (checkpoint, depth))
    setting = choose_setting(cast("Precision", precision), ranges=bool(ranges))
    keypoints = cast("KeypointDetector", library.load(checkpoint, ["kp_detector"])["kp_detector"])
    parts = library.load(depth, ["encoder", "depth"])
    network: FaceDepth = FaceDepth(cast(ResNet, parts["encoder"]), cast(DepthDecoder, parts["depth"]))
    return RgbdDetector(network, keypoints, setting, ranges)


def calibrate_int8(model: str, notify: Callable[[str], None]) -> bool:
    """Measure, on pictures that ship, what int8 needs to know of ``model``; False where not all of it is imported.

    ``tell`` gets a line before the work, which takes half a minute.
    """
    from torch.nn import ModuleDict

    from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait
    from livehead.bench.live_models import record_driving
    from livehead.models.quantize import observe, part
    from livehead.motion.face.face_rig import Puppet, sample_performance
    from livehead.perception.rgbd import SIDE

    library = Library()
    if CHECKPOINTS[model] not in library.names() or not any(name in library.names() for name in DEPTH_CHECKPOINTS):
        return False
    notify(f"measuring the ranges that {model} needs for int8")
    renderer = cast("DaganRenderer", _load_renderer(model, SIDE, alpha=False, precision="fp32", threads=None))
    networks = renderer.networks

    def render_samples() -> None:
        script = sample_performance()
        for portrait in (bundled_portrait(ASTRONAUT_PHOTO), bundled_portrait(DRAWN_PORTRAIT)):
            puppet = Puppet(portrait.motion)
            moments = [
                script.duration_s * (number + 0.5) / _CALIBRATION_FRAMES for number in range(_CALIBRATION_FRAMES)
            ]
            film = record_driving(portrait, [puppet(script.at(moment), 0) for moment in moments])
            avatar = renderer.prepare(portrait)
            for picture in film.pictures:
                renderer.render(avatar, renderer.detector.detect(picture))

    found = observe(ModuleDict(dict(networks)), render_samples)
    library.keep_ranges(model, _checkpoint_names(library, model), {name: part(found, name) for name in networks})
    return True


def _checkpoint_names(library: Library, model: str) -> tuple[str, str]:
    """The two that ``model`` is made of. Raises: WeightsMissingError."""
    return CHECKPOINTS[model], _depth_checkpoint(library, model)


def _depth_checkpoint(library: Library, model: str) -> str:
    """Which imported depth network to use. Raises: WeightsMissingError."""
    found = next((name for name in DEPTH_CHECKPOINTS if name in library.names()), None)
    if found is None:
        raise find_publication(DEPTH_CHECKPOINTS[0]).missing(f"the model {model}")
    return found


def _require_imported(library: Library, checkpoint: str, model: str) -> None:
    if checkpoint not in library.names():
        raise find_publication(checkpoint).missing(f"the model {model}")
