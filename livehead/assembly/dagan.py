"""The roof's carpentry for the published DaGAN: from imported checkpoints to its renderers and its driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from livehead.interfaces import Driver, Renderer
from livehead.motion.keypoints import Keypoints
from livehead.stats import cpu_info
from livehead.weights.catalog import find_checkpoint_spec
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from livehead.models.dagan.depth import FaceDepthNetwork
    from livehead.models.dagan.generator import DaganGenerator
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
    library = CheckpointStore()
    return " ".join(
        library.read_record(name).sha256 for name in (CHECKPOINTS[model], _depth_checkpoint(library, model))
    )


def dagan_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan``: the published generator. Raises: WeightsError with how to get it, ConfigError."""
    return _load_renderer("dagan", size, alpha=alpha, precision=precision, threads=threads)


def dagan_spade_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan-spade``: the published one with the SPADE decoder. Raises: WeightsError, ConfigError."""
    return _load_renderer("dagan-spade", size, alpha=alpha, precision=precision, threads=threads)


def dagan_driver(argument: str) -> Driver[Keypoints]:
    """``dagan``, or ``dagan:MODEL/PRECISION`` for the eyes of that very renderer. Raises: WeightsError, ConfigError."""
    from livehead.drivers.dagan import DaganDriver

    model, _, precision = argument.partition("/")
    return DaganDriver(load_detector(model or "dagan", precision or "auto"))


def load_detector(model: str, precision: str) -> RgbdDetector:
    """The eyes of ``model``, loaded once for its renderer and its driver. Raises: WeightsError, ConfigError."""
    library = CheckpointStore()
    checkpoint = CHECKPOINTS.get(model, model)
    _require_imported(library, checkpoint, model)
    depth = _depth_checkpoint(library, model)
    content = (library.read_record(checkpoint).sha256, library.read_record(depth).sha256)
    return _load_cached_detector(library.folder, model, checkpoint, depth, content, precision)


def _load_renderer(
    model: str, size: int, *, alpha: bool, precision: str, threads: int | None
) -> Renderer[Any, Any, Any]:
    import torch

    from livehead.renderers.dagan import DaganRenderer

    torch.set_num_threads(threads or cpu_info()[1])
    eyes = load_detector(model, precision)
    library = CheckpointStore()
    network = cast("DaganGenerator", library.load(CHECKPOINTS[model], ["generator"])["generator"])
    ranges = library.load_ranges(model, _checkpoint_names(library, model)).get("generator")
    renderer = DaganRenderer(network, eyes, alpha=alpha, ranges=ranges)
    if renderer.setting.int8:
        torch.set_num_threads(1)  # the parts that cost have threads of their own by now
    return renderer


@lru_cache(maxsize=2)
def _load_cached_detector(
    folder: Path, model: str, checkpoint: str, depth: str, sha256s: tuple[str, str], precision: str
) -> RgbdDetector:
    """``content``: sha256 of both, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.dagan.depth import DepthDecoder, FaceDepthNetwork
    from livehead.models.engine import choose_execution_config
    from livehead.models.resnet import ResNet
    from livehead.perception.rgbd import RgbdDetector

    library = CheckpointStore(folder)
    ranges = library.load_ranges(model, (checkpoint, depth))
    setting = choose_execution_config(cast("Precision", precision), has_ranges=bool(ranges))
    keypoints = cast("KeypointDetector", library.load(checkpoint, ["kp_detector"])["kp_detector"])
    parts = library.load(depth, ["encoder", "depth"])
    network: FaceDepthNetwork = FaceDepthNetwork(cast(ResNet, parts["encoder"]), cast(DepthDecoder, parts["depth"]))
    return RgbdDetector(network, keypoints, setting, ranges)


def calibrate_int8(model: str, notify: Callable[[str], None]) -> bool:
    """Measure, on pictures that ship, what int8 needs to know of ``model``; False where not all of it is imported.

    ``tell`` gets a line before the work, which takes half a minute.
    """
    from torch.nn import ModuleDict

    from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait
    from livehead.assembly.driving_clip import record_driving
    from livehead.models.quantize import observe_ranges, select_ranges
    from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
    from livehead.perception.rgbd import DAGAN_SIDE

    library = CheckpointStore()
    if CHECKPOINTS[model] not in library.list_names() or not any(
        name in library.list_names() for name in DEPTH_CHECKPOINTS
    ):
        return False
    notify(f"measuring the ranges that {model} needs for int8")
    renderer = cast("DaganRenderer", _load_renderer(model, DAGAN_SIDE, alpha=False, precision="fp32", threads=None))
    networks = renderer.networks

    def render_samples() -> None:
        script = build_demo_timeline()
        for portrait in (bundled_portrait(ASTRONAUT_PHOTO), bundled_portrait(DRAWN_PORTRAIT)):
            puppet = FaceRig(portrait.motion)
            moments = [
                script.duration_s * (number + 0.5) / _CALIBRATION_FRAMES for number in range(_CALIBRATION_FRAMES)
            ]
            film = record_driving(portrait, [puppet(script.controls_at(moment), 0) for moment in moments])
            avatar = renderer.prepare(portrait)
            for picture in film.pictures:
                renderer.render(avatar, renderer.detector.detect(picture), DAGAN_SIDE)

    found = observe_ranges(ModuleDict(dict(networks)), render_samples)
    library.save_ranges(
        model, _checkpoint_names(library, model), {name: select_ranges(found, name) for name in networks}
    )
    return True


def _checkpoint_names(library: CheckpointStore, model: str) -> tuple[str, str]:
    """The two that ``model`` is made of. Raises: WeightsMissingError."""
    return CHECKPOINTS[model], _depth_checkpoint(library, model)


def _depth_checkpoint(library: CheckpointStore, model: str) -> str:
    """Which imported depth network to use. Raises: WeightsMissingError."""
    found = next((name for name in DEPTH_CHECKPOINTS if name in library.list_names()), None)
    if found is None:
        raise find_checkpoint_spec(DEPTH_CHECKPOINTS[0]).missing_error(f"the model {model}")
    return found


def _require_imported(library: CheckpointStore, checkpoint: str, model: str) -> None:
    if checkpoint not in library.list_names():
        raise find_checkpoint_spec(checkpoint).missing_error(f"the model {model}")
