"""PIFuHD's published networks: one file with four of them, and how it is told from its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec
from livehead.weights.key_map import CheckpointLayout, TensorShapes, defer_build
from livehead.weights.published_system import PublishedSystem

if TYPE_CHECKING:
    from torch import nn

_SITE = "https://github.com/facebookresearch/pifuhd"

_MAX_STACKS = 4


def _stack_renames(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Renames of one hourglass filter."""
    for s in range(_MAX_STACKS):
        parts = {
            "m": "hourglass",
            "conv_last": "last",
            "bn_end": "norm",
            "l": "out",
            "bl": "trunk_back",
            "al": "out_back",
        }
        yield f"{theirs}top_m_{s}.", f"{ours}stacks.{s}.top."
        for name, part in parts.items():
            yield f"{theirs}{name}{s}.", f"{ours}stacks.{s}.{part}."
    yield theirs, ours


_KEY_RENAMES = (
    ("netG.netF.", "front."),
    ("netG.netB.", "back."),
    *_stack_renames("netG.image_filter.", "coarse_filter."),
    ("netG.mlp.", "coarse_mlp."),
    *_stack_renames("image_filter.", "fine_filter."),
    ("mlp.", "fine_mlp."),
)


def build_layouts() -> dict[str, CheckpointLayout]:
    """The layouts by the names that ``convert.load_official`` takes."""
    from livehead.models.pifuhd.build import build_pifuhd

    return {
        "pifuhd": CheckpointLayout(
            build_pifuhd, _KEY_RENAMES, duplicate_keys=(".downsample.0.", ".bn4."), select_variant=_select_variant
        )
    }


def _select_variant(shapes: TensorShapes) -> Callable[[], nn.Module]:
    """By our keys: what its authors' options decide, the depths of the hourglasses and the norms of the functions."""
    from livehead.models.pifuhd.build import PifuHdSizes, build_pifuhd

    def depth(of: str, usual: int) -> int:
        levels = (re.match(rf"{of}_filter\.stacks\.0\.hourglass\.b1_(\d)\.", key) for key in shapes)
        return max((int(level[1]) for level in levels if level), default=usual)

    sizes = PifuHdSizes(
        coarse_depth=depth("coarse", PifuHdSizes.coarse_depth),
        fine_depth=depth("fine", PifuHdSizes.fine_depth),
        coarse_normed="coarse_mlp.norms.0.weight" in shapes,
        fine_normed="fine_mlp.norms.0.weight" in shapes,
    )
    return defer_build(build_pifuhd, sizes)


_SPECS = (
    CheckpointSpec(
        "pifuhd",
        (CheckpointPart("person", "pifuhd"),),
        ("pifuhd.pt",),
        "CC BY-NC 4.0: no commercial use",
        _SITE,
        store_float16=True,
    ),
)


def identify_network(shapes: TensorShapes) -> str | None:
    """The name of the network whose state dict has these keys and shapes; None if it is none of this system."""
    return "pifuhd" if {"netG.image_filter.conv1.weight", "image_filter.conv1.weight"} <= shapes.keys() else None


PIFUHD = PublishedSystem(build_layouts, _SPECS, identify_network)
