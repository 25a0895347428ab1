"""The losses of ``compact``'s generator."""

from __future__ import annotations

from torch import Tensor

from livehead.models.compact.types import CompactOutput
from livehead.training.compact.pair_sampler import PairBatch
from livehead.training.compact.recipe import CompactLossWeights
from livehead.training.losses import importance_weights, pyramid_loss, texture_loss, weighted_l1


def generator_losses(output: CompactOutput, batch: PairBatch, loss: CompactLossWeights) -> dict[str, Tensor]:
    """The terms ``image``, ``texture``, ``warped`` and ``generated``, not yet weighted, and the mean ``alpha``."""
    weight = importance_weights(batch.target_points, batch.target.shape[-1], loss.mouth, loss.eyes)
    image = output.image
    return {
        "image": pyramid_loss(image, batch.target, weight, loss.levels, loss.edges),
        "texture": texture_loss(image, batch.target, weight.clamp_max(2)),
        "warped": weighted_l1(output.warped, batch.target, weight),
        "alpha": output.alpha.mean(),
        "generated": weighted_l1(output.generated, batch.target, weight),
    }


def total_loss(terms: dict[str, Tensor], loss: CompactLossWeights) -> Tensor:
    """The weighted sum of the terms of ``generator_losses``."""
    parts = (terms["image"], loss.warped * terms["warped"], loss.generated * terms["generated"])
    return sum(parts, loss.texture * terms["texture"] + loss.keep * (1 - terms["alpha"]))
