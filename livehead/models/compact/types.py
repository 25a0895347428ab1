"""What the parts of the compact model pass to each other, and the model's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class CompactSizes:
    """Sizes of the compact model: widths ``fine`` at S/2, ``middle`` at S/4 and ``coarse`` at S/8.

    ``motion...``: the motion network's hourglass. ``layers``: planes that the source's analyzer adds to the motion
    network's input; ``reader...``: the analyzer's hourglass.
    """

    fine: int = 32
    middle: int = 64
    coarse: int = 128
    residuals: int = 3
    attention: int = 32
    motion: int = 32
    motion_largest: int = 128
    motion_depth: int = 3
    layers: int = 12
    reader: int = 40
    reader_largest: int = 160
    reader_depth: int = 4


class CompactEncodedSource(NamedTuple):
    """All that depends on the source alone.

    ``source_map`` [B, 12 + layers, S/4, S/4]: colours, person mask, mesh, and the analyzer's planes. ``middle`` and
    ``coarse``: features at S/4 and S/8. ``keys_values``: the attention's.
    """

    image: Tensor
    points: Tensor
    source_map: Tensor
    middle: Tensor
    coarse: Tensor
    keys_values: tuple[Tensor, Tensor]


class CompactMotionField(NamedTuple):
    """A frame's motion: ``flow`` [B, S/2, S/2, 2]; ``occlusion`` [B, 2, S/4, S/4]; ``surface``, the driving face's
    planes [B, 12, S/2, S/2]; ``mask`` [B, K, S/4, S/4] of the candidates."""

    flow: Tensor
    occlusion: Tensor
    surface: Tensor
    mask: Tensor


class MotionCues(NamedTuple):
    """Holds what the meshes alone tell of a motion, before a network runs.

    ``network_input`` [B, 45 + 2 layers, S/4, S/4]: the motion network's; ``logits`` and ``displacements``: the prior;
    ``surface`` [B, 12, S/2, S/2] and ``skin_flow`` [B, S/2, S/2, 2]: the driving face's planes and flow.
    """

    network_input: Tensor
    logits: Tensor
    displacements: Tensor
    surface: Tensor
    skin_flow: Tensor


class CompactOutput(NamedTuple):
    """The drawn picture's two layers: ``warped`` photo and ``generated`` [B, 3, S, S] RGB in [0, 1].

    ``alpha`` [B, 1, S, S]: the warped photo's share.
    """

    warped: Tensor
    generated: Tensor
    alpha: Tensor
    field: CompactMotionField

    @property
    def image(self) -> Tensor:
        """The two layers blended, [B, 3, S, S]."""
        return torch.lerp(self.generated, self.warped, self.alpha)
