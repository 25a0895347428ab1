"""CoNR's published networks: their layouts, the files they came in, and how one is told from its keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec
from livehead.weights.key_map import CheckpointLayout
from livehead.weights.published_system import PublishedSystem

_NETWORK_NAMES = ("udpparsernet", "target_pose_encoder", "shader", "rgbadecodernet")
_SUCCESSOR = "conr-v2"

UNSUPPORTED_NETWORKS: Mapping[str, str] = MappingProxyType(
    {_SUCCESSOR: "is of Live3D-v2, CoNR's successor, whose networks are others under the same names"}
)
"""Networks that are recognised but cannot be used, and why."""


def build_layouts() -> dict[str, CheckpointLayout]:
    """The layouts by the names that ``convert.load_official`` takes."""
    from livehead.models.conr import build

    builders = (build.build_dense_pose_parser, build.build_pose_encoder, build.build_shader, build.build_decoder)
    return {f"conr-{part}": CheckpointLayout(builder) for part, builder in zip(_NETWORK_NAMES, builders, strict=True)}


_SPECS = (
    CheckpointSpec(
        "conr",
        tuple(CheckpointPart(part, f"conr-{part}") for part in _NETWORK_NAMES),
        tuple(f"{part}.pth" for part in _NETWORK_NAMES),
        "code MIT, weights without a licence of their own: for research",
        "https://github.com/megvii-research/IJCAI2023-CoNR",
    ),
)


def identify_network(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name of the network whose state dict has these keys and shapes; None if it is none of this system."""
    if "decoder_blocks.0.conv0.0.weight" in shapes:
        return "conr-shader"
    if "bottleneck.r0.norm1.weight" in shapes and "conv_rgba.0.weight" in shapes:
        return "conr-rgbadecodernet"
    if "backbone.1.norm.weight" in shapes:
        planes = (*shapes.get("backbone.0.weight", ()), 0, 0)[1]
        return {3: "conr-udpparsernet", 4: "conr-target_pose_encoder"}.get(planes)
    if "conv_rgba.weight" in shapes or {"net.0.main.0.weight", "net.3.main.1.main.0.weight"} <= shapes.keys():
        return _SUCCESSOR
    return None


CONR = PublishedSystem(build_layouts, _SPECS, identify_network)
