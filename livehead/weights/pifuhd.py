"""PIFuHD's published networks: one file with four of them, and how it is told from its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from livehead.weights.checkpoint_spec import Part, Publication
from livehead.weights.key_map import Layout, Shapes, later

if TYPE_CHECKING:
    from torch import nn

_SITE = "https://github.com/facebookresearch/pifuhd"

_MOST_STACKS = 4


def _stacks(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Renames of one hourglass filter."""
    for s in range(_MOST_STACKS):
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


_RENAMES = (
    ("netG.netF.", "front."),
    ("netG.netB.", "back."),
    *_stacks("netG.image_filter.", "coarse_filter."),
    ("netG.mlp.", "coarse_mlp."),
    *_stacks("image_filter.", "fine_filter."),
    ("mlp.", "fine_mlp."),
)


def layouts() -> dict[str, Layout]:
    """By the names of ``convert.load_official``."""
    from livehead.models.pifuhd.build import build_pifuhd

    return {"pifuhd": Layout(build_pifuhd, _RENAMES, twins=(".downsample.0.", ".bn4."), variant=_variant)}


def _variant(shapes: Shapes) -> Callable[[], nn.Module]:
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
    return later(build_pifuhd, sizes)


PUBLICATIONS = (
    Publication(
        "pifuhd", (Part("person", "pifuhd"),), ("pifuhd.pt",), "CC BY-NC 4.0: no commercial use", _SITE, half=True
    ),
)
"""What can be imported."""


def identify(shapes: Shapes) -> str | None:
    """The network that these keys and shapes seem to be; None if none of these."""
    return "pifuhd" if {"netG.image_filter.conv1.weight", "image_filter.conv1.weight"} <= shapes.keys() else None
