"""The roof's carpentry for the published DaGAN: from imported checkpoints to its renderers and its driver."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from livehead.interfaces import Driver, Renderer
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.weights.library import Library
from livehead.weights.published import find_publication

if TYPE_CHECKING:
    from livehead.models.dagan.depth import FaceDepth
    from livehead.models.dagan.generator import Generator
    from livehead.models.dagan.keypoints import KeypointDetector
    from livehead.models.engine import Precision
    from livehead.perception.rgbd import RgbdDetector

CHECKPOINTS: Mapping[str, str] = MappingProxyType({"dagan": "dagan-vox-256", "dagan-spade": "dagan-spade-vox-256"})
"""Models that are published checkpoints, and which."""

_DEPTHS = ("dagan-depth-18", "dagan-depth-50")  # the released generators were trained with the first


def weights_version(model: str) -> str:
    """What tells avatars of one checkpoint from those of another; empty for models that ship. Raises: WeightsError."""
    if model not in CHECKPOINTS:
        return ""
    library = Library()
    return " ".join(library.entry(name).sha256 for name in (CHECKPOINTS[model], _depth(library, model)))


def dagan(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan``: the published generator. Raises: WeightsError with how to get it, ConfigError."""
    return _renderer("dagan", size, alpha=alpha, precision=precision, threads=threads)


def dagan_spade(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``dagan-spade``: the published one with the SPADE decoder. Raises: WeightsError, ConfigError."""
    return _renderer("dagan-spade", size, alpha=alpha, precision=precision, threads=threads)


def dagan_driver(argument: str, portrait: Portrait) -> Driver[Keypoints]:
    """``dagan``, or ``dagan:MODEL/PRECISION`` for the eyes of that very renderer. Raises: WeightsError, ConfigError."""
    from livehead.drivers.dagan import DaganDriver

    model, _, precision = argument.partition("/")
    return DaganDriver(detector(model or "dagan", precision or "auto"))


def detector(model: str, precision: str) -> RgbdDetector:
    """The eyes of ``model``, loaded once for its renderer and its driver. Raises: WeightsError, ConfigError."""
    library = Library()
    checkpoint = CHECKPOINTS.get(model, model)
    _require(library, checkpoint, model)
    depth = _depth(library, model)
    content = (library.entry(checkpoint).sha256, library.entry(depth).sha256)
    return _detector(library.folder, checkpoint, depth, content, precision)


def _renderer(model: str, size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    import torch

    from livehead.renderers.dagan_full import DaganRenderer

    if threads is not None:
        torch.set_num_threads(threads)
    eyes = detector(model, precision)
    network = Library().load(CHECKPOINTS[model], ["generator"])["generator"]
    return DaganRenderer(cast("Generator", network), eyes, size, alpha=alpha)


@lru_cache(maxsize=2)
def _detector(folder: Path, checkpoint: str, depth: str, content: tuple[str, str], precision: str) -> RgbdDetector:
    """``content``: sha256 of both, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.dagan.depth import DepthDecoder, FaceDepth
    from livehead.models.dagan.resnet import ResNet
    from livehead.models.engine import choose_setting
    from livehead.perception.rgbd import RgbdDetector

    setting = choose_setting(cast("Precision", precision))
    library = Library(folder)
    keypoints = cast("KeypointDetector", library.load(checkpoint, ["kp_detector"])["kp_detector"])
    parts = library.load(depth, ["encoder", "depth"])
    network: FaceDepth = FaceDepth(cast(ResNet, parts["encoder"]), cast(DepthDecoder, parts["depth"]))
    return RgbdDetector(network, keypoints, setting)


def _depth(library: Library, model: str) -> str:
    """Which imported depth network to use. Raises: WeightsMissingError."""
    found = next((name for name in _DEPTHS if name in library.names()), None)
    if found is None:
        raise find_publication(_DEPTHS[0]).missing(f"the model {model}")
    return found


def _require(library: Library, checkpoint: str, model: str) -> None:
    if checkpoint not in library.names():
        raise find_publication(checkpoint).missing(f"the model {model}")
