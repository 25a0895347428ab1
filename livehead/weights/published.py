"""The published checkpoints that can be imported: what each consists of, whose it is and where it is to be had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from livehead.errors import ConfigError, WeightsMissingError
from livehead.registry import suggestion

if TYPE_CHECKING:
    from torch import Tensor

_DAGAN = "https://github.com/harlanhong/CVPR2022-DaGAN"


@dataclass(frozen=True, slots=True)
class Part:
    """One network of a publication: a pattern of the names of ``convert.load_official`` that it may be."""

    name: str
    network: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Publication:
    """What ``livehead weights import --as NAME`` takes. ``files``: as their authors call them."""

    name: str
    parts: tuple[Part, ...]
    files: tuple[str, ...]
    licence: str
    source: str

    @property
    def remedy(self) -> str:
        """How to get it and bring it in, in one line."""
        files = " ".join(self.files)
        return (
            f"download {files} from {self.source} ({self.licence}) and run: "
            f"livehead weights import {files} --as {self.name}"
        )

    def missing(self, subject: str) -> WeightsMissingError:
        """The error for ``subject`` (a model, a driver), which needs it."""
        return WeightsMissingError(f"{subject} needs the weights {self.name}", self.remedy, subject=self.name)


def _dagan(name: str, generator: str, file: str) -> Publication:
    parts = (
        Part("generator", generator),
        Part("kp_detector", r"dagan-keypoints-(rgbd|rgb|depth)-\d+"),
        Part("discriminator", r"dagan-discriminator-\d+", needed=False),
    )
    return Publication(name, parts, (file,), "CC BY-NC 4.0: no commercial use", _DAGAN)


def _depth(layers: int, folder: str) -> Publication:
    parts = (
        Part("encoder", f"dagan-depth-encoder-{layers}"),
        Part("depth", f"dagan-depth-decoder-{layers}"),
        Part("pose_encoder", f"dagan-pose-encoder-{layers}", needed=False),
        Part("pose", f"dagan-pose-decoder-{layers}", needed=False),
    )
    licence = "CC BY-NC 4.0, and of monodepth2's authors (Niantic): no commercial use"
    return Publication(
        f"dagan-depth-{layers}", parts, (f"{folder}/encoder.pth", f"{folder}/depth.pth"), licence, _DAGAN
    )


PUBLICATIONS: Mapping[str, Publication] = MappingProxyType(
    {
        publication.name: publication
        for publication in (
            _dagan("dagan-vox-256", r"dagan-generator-\d+", "DaGAN_vox_adv_256.pth.tar"),
            _dagan("dagan-spade-vox-256", r"dagan-spade-\d+", "SPADE_DaGAN_vox_adv_256.pth.tar"),
            _depth(18, "weights_19"),
            _depth(50, "depth_face_model_Voxceleb2_10w"),
        )
    }
)
"""By name."""


def find_publication(name: str) -> Publication:
    """Raises: ConfigError naming the nearest known one."""
    if name not in PUBLICATIONS:
        raise ConfigError(f"there are no published weights {name!r}", suggestion(name, PUBLICATIONS), subject=name)
    return PUBLICATIONS[name]


def part_of(publication: Publication, network: str) -> Part | None:
    """The part that a network of that name is, if any."""
    return next((part for part in publication.parts if re.fullmatch(part.network, network)), None)


def taken_by(network: str) -> list[str]:
    """Names of the publications that a network of that name belongs to."""
    return [name for name, publication in PUBLICATIONS.items() if part_of(publication, network)]


def identify(tensors: Mapping[str, Tensor]) -> str | None:
    """The name, for ``convert.load_official``, of the network that a state dict seems to be; None if of none.

    Told by a few keys and their shapes; whether the rest fits is seen when it is loaded.
    """
    shapes = {key.removeprefix("module."): tuple(value.shape) for key, value in tensors.items()}

    def side(key: str, axis: int) -> int:
        shape = shapes.get(key, ())
        return shape[axis] if len(shape) == 4 else 0

    if "dense_motion_network.mask.weight" in shapes:
        kind = "spade" if "decoder.fc.weight" in shapes else "generator"
        return f"dagan-{kind}-{side('dense_motion_network.mask.weight', 0) - 1}"
    if "kp.weight" in shapes:
        sees = {4: "rgbd", 3: "rgb", 1: "depth"}.get(side("predictor.encoder.down_blocks.0.conv.weight", 1), "unknown")
        return f"dagan-keypoints-{sees}-{side('kp.weight', 0)}"
    if "discs.1.down_blocks.0.conv.weight" in shapes:
        return f"dagan-discriminator-{side('discs.1.down_blocks.0.conv.weight', 1) - 3}"
    return _identify_depth(shapes)


def _identify_depth(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The same among the networks of face depth."""
    if "encoder.conv1.weight" in shapes:
        layers = 50 if "encoder.layer1.0.conv3.weight" in shapes else 18
        return f"dagan-{'pose' if shapes['encoder.conv1.weight'][1:2] == (6,) else 'depth'}-encoder-{layers}"
    for key, kind in (("decoder.0.conv.conv.weight", "depth"), ("net.5.weight", "pose")):
        if key in shapes and "pose_conv.weight" not in shapes:
            deep = shapes.get("net.0.weight" if kind == "pose" else key, ())[1:2] == (2048,)
            return f"dagan-{kind}-decoder-{50 if deep else 18}"
    return None
