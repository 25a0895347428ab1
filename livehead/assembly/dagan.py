"""The published DaGAN's renderers and driver, made from the imported checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from livehead.interfaces import Driver, Renderer
from livehead.motion.keypoints import Keypoints
from livehead.threads import set_network_threads
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
"""The checkpoint of each model that was published as one."""

_CALIBRATION_FRAMES = 3  # frames of each of two persons on which ranges are measured
DEPTH_CHECKPOINTS = ("dagan-depth-18", "dagan-depth-50")
"""Either serves; the released generators were trained with the first."""


def weights_version(model: str) -> str:
    """The sha256 of a model's checkpoints, which tells its avatars from those of others; empty for models that ship.

    Raises: WeightsError.
    """
    if model not in CHECKPOINTS:
        return ""
    store = CheckpointStore()
    return " ".join(store.read_record(name).sha256 for name in (CHECKPOINTS[model], _depth_checkpoint(store, model)))


def require_checkpoints(model: str) -> None:
    """Look whether all checkpoints of ``model`` are imported, without loading them.

    Raises: WeightsMissingError that says how to get what is missing.
    """
    store = CheckpointStore()
    _require_imported(store, CHECKPOINTS[model], model)
    _depth_checkpoint(store, model)


def dagan_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """The renderer ``dagan``. Raises: WeightsError that says how to get the checkpoint, ConfigError."""
    return _load_renderer("dagan", size, alpha=alpha, precision=precision, threads=threads)


def dagan_spade_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """The renderer ``dagan-spade``, whose decoder is normalised by SPADE. Raises: WeightsError, ConfigError."""
    return _load_renderer("dagan-spade", size, alpha=alpha, precision=precision, threads=threads)


def dagan_driver(argument: str) -> Driver[Keypoints]:
    """The driver ``dagan``; ``argument`` is ``MODEL/PRECISION``, to share the detector of that very renderer.

    Raises: WeightsError, ConfigError.
    """
    from livehead.drivers.dagan import DaganDriver

    model, _, precision = argument.partition("/")
    return DaganDriver(load_detector(model or "dagan", precision or "auto"))


def load_detector(model: str, precision: str) -> RgbdDetector:
    """The key point detector of ``model``, loaded once for its renderer and its driver.

    Raises: WeightsError, ConfigError.
    """
    store = CheckpointStore()
    checkpoint = CHECKPOINTS.get(model, model)
    _require_imported(store, checkpoint, model)
    depth = _depth_checkpoint(store, model)
    content = (store.read_record(checkpoint).sha256, store.read_record(depth).sha256)
    return _load_cached_detector(store.folder, model, checkpoint, depth, content, precision)


def _load_renderer(
    model: str, size: int, *, alpha: bool, precision: str, threads: int | None
) -> Renderer[Any, Any, Any]:

    from livehead.renderers.dagan import DaganRenderer

    set_network_threads(threads)
    detector = load_detector(model, precision)
    store = CheckpointStore()
    network = cast("DaganGenerator", store.load(CHECKPOINTS[model], ["generator"])["generator"])
    ranges = store.load_ranges(model, _checkpoint_names(store, model)).get("generator")
    renderer = DaganRenderer(network, detector, alpha=alpha, ranges=ranges, threads=threads)
    set_network_threads(threads, by_openvino=renderer.setting.int8)
    return renderer


@lru_cache(maxsize=2)
def _load_cached_detector(
    folder: Path, model: str, checkpoint: str, depth: str, sha256s: tuple[str, str], precision: str
) -> RgbdDetector:
    """``sha256s`` of both are part of the key, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.dagan.depth import DepthDecoder, FaceDepthNetwork
    from livehead.models.engine import choose_execution_config
    from livehead.models.resnet import ResNet
    from livehead.perception.rgbd import RgbdDetector

    store = CheckpointStore(folder)
    ranges = store.load_ranges(model, (checkpoint, depth))
    setting = choose_execution_config(cast("Precision", precision), has_ranges=bool(ranges))
    keypoints = cast("KeypointDetector", store.load(checkpoint, ["kp_detector"])["kp_detector"])
    parts = store.load(depth, ["encoder", "depth"])
    network: FaceDepthNetwork = FaceDepthNetwork(cast(ResNet, parts["encoder"]), cast(DepthDecoder, parts["depth"]))
    return RgbdDetector(network, keypoints, setting, ranges)


def calibrate_int8(model: str, notify: Callable[[str], None]) -> bool:
    """Measure, on pictures that ship, the ranges that int8 needs for ``model``; False where not all of it is imported.

    ``notify`` gets a line before the work, which takes half a minute.
    """
    from torch.nn import ModuleDict

    from livehead.assembly.driving_clip import record_driving
    from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait
    from livehead.models.quantize import observe_ranges, select_ranges
    from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
    from livehead.perception.rgbd import DAGAN_SIDE

    store = CheckpointStore()
    if CHECKPOINTS[model] not in store.list_names() or not any(
        name in store.list_names() for name in DEPTH_CHECKPOINTS
    ):
        return False
    notify(f"measuring the ranges that {model} needs for int8")
    renderer = cast("DaganRenderer", _load_renderer(model, DAGAN_SIDE, alpha=False, precision="fp32", threads=None))
    networks = renderer.networks

    def render_samples() -> None:
        script = build_demo_timeline()
        for portrait in (bundled_portrait(ASTRONAUT_PHOTO), bundled_portrait(DRAWN_PORTRAIT)):
            rig = FaceRig(portrait.motion)
            moments = [
                script.duration_s * (number + 0.5) / _CALIBRATION_FRAMES for number in range(_CALIBRATION_FRAMES)
            ]
            clip = record_driving(portrait, [rig.pose_face(script.controls_at(moment), 0) for moment in moments])
            avatar = renderer.prepare(portrait)
            for picture in clip.pictures:
                renderer.render(avatar, renderer.detector.detect(picture), DAGAN_SIDE)

    found = observe_ranges(ModuleDict(dict(networks)), render_samples)
    store.save_ranges(model, _checkpoint_names(store, model), {name: select_ranges(found, name) for name in networks})
    return True


def _checkpoint_names(store: CheckpointStore, model: str) -> tuple[str, str]:
    """The two checkpoints that ``model`` is made of. Raises: WeightsMissingError."""
    return CHECKPOINTS[model], _depth_checkpoint(store, model)


def _depth_checkpoint(store: CheckpointStore, model: str) -> str:
    """Which imported depth network to use. Raises: WeightsMissingError."""
    found = next((name for name in DEPTH_CHECKPOINTS if name in store.list_names()), None)
    if found is None:
        raise find_checkpoint_spec(DEPTH_CHECKPOINTS[0]).missing_error(f"the model {model}")
    return found


def _require_imported(store: CheckpointStore, checkpoint: str, model: str) -> None:
    if checkpoint not in store.list_names():
        raise find_checkpoint_spec(checkpoint).missing_error(f"the model {model}")
