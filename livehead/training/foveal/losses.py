"""The losses of the foveal network."""

from __future__ import annotations

import torch
from torch import Tensor

from livehead.models.foveal.curve_warp import PatchShape, band_coordinate
from livehead.models.foveal.network import FovealOutput
from livehead.training.foveal.patch_sampler import PatchBatch
from livehead.training.foveal.recipe import FovealLossWeights
from livehead.training.losses import pyramid_loss, texture_loss, weighted_l1

_INNER_BAND = 2  # the band between the inner edges, of the five
_EDGE_BANDS = (1, 3)  # the bands of the lips themselves, or of the skin that moves with the lids


def inside_mask(bands: Tensor) -> Tensor:
    """A mask [B, 1, H, W] that is 1 between the lips or lids, from the ``band_coordinate`` [B, 5, H, W]."""
    return _band_mask(bands, _INNER_BAND)


def _band_mask(bands: Tensor, number: int) -> Tensor:
    within = bands[:, number : number + 1]
    return ((within > 0) & (within < 1)).float()


def patch_weights(shape: PatchShape, height: int, loss: FovealLossWeights) -> Tensor:
    """How much each pixel's error counts, [B, 1, H, W]: most between lips or lids, more on them than on skin."""
    bands = band_coordinate(shape, height)
    edges = sum((_band_mask(bands, number) for number in _EDGE_BANDS), torch.zeros_like(bands[:, :1]))
    return 1 + (loss.inside - 1) * inside_mask(bands) + (loss.lips - 1) * edges


def patch_losses(output: FovealOutput, batch: PatchBatch, loss: FovealLossWeights) -> dict[str, Tensor]:
    """The terms ``image``, ``texture``, ``jitter`` and ``invented``, not yet weighted."""
    weight = patch_weights(batch.shape, batch.truth.shape[-2], loss)
    image, truth = output.image, batch.truth
    change = (image[1::2] - image[::2]) - (truth[1::2] - truth[::2])
    return {
        "image": pyramid_loss(image, truth, weight, 3, loss.edges),
        "texture": texture_loss(image, truth, weight.clamp_max(3)),
        "jitter": weighted_l1(change, torch.zeros_like(change), weight[::2]),
        "invented": output.invented.mean(),
    }


def total_patch_loss(terms: dict[str, Tensor], loss: FovealLossWeights) -> Tensor:
    """The weighted sum of the terms of ``patch_losses``."""
    return (
        terms["image"]
        + loss.texture * terms["texture"]
        + loss.jitter * terms["jitter"]
        + loss.invent * terms["invented"]
    )
