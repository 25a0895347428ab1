"""The losses of the published DaGAN's key points and generator (DaGAN, section 3.5).

Points [B, K, 2] and Jacobians [B, K, 2, 2] are in the published networks' coordinates (``grid.corner_grid``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from livehead.models.dagan.dense_motion import bounded_inverse
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.training.dagan.equivariance import EquivarianceTransform
from livehead.training.dagan.recipe import DaganLossWeights
from livehead.training.losses import pyramid_loss

_PYRAMID_LEVELS = 4
_EPSILON = 1e-8


def equivariance_losses(
    points: LearnedKeypoints, deformed: LearnedKeypoints, deformation: EquivarianceTransform
) -> tuple[Tensor, Tensor]:
    """How far the ``points`` of a picture are from those of the ``deformed`` one, mapped back: values and Jacobians.

    Equations 7 and 8 of FOMM; a nearly singular Jacobian has a bounded inverse.
    """
    value = (points.value - deformation.warp_coordinates(deformed.value)).abs().mean()
    moved = deformation.jacobian(deformed.value) @ deformed.jacobian
    product = bounded_inverse(points.jacobian) @ moved
    return value, (torch.eye(2, device=product.device) - product).abs().mean()


def keypoint_separation(points: Tensor, min_distance: float) -> Tensor:
    """The mean penalty over K x K pairs of points [B, K, 2]: 2 for two in one place, 0 from ``min_distance`` on.

    The published term has these two values with a step between them, which has no slope and trains nothing.
    """
    gaps = points[:, :, None] - points[:, None]
    distance = (gaps.square().sum(dim=-1) + _EPSILON).sqrt()
    closeness = 2 * (1 - distance / min_distance).clamp_min(0)
    others = 1 - torch.eye(points.shape[1], device=points.device)
    return (closeness * others).mean()


def multiscale_gradient_loss(generated: Tensor, real: Tensor) -> Tensor:
    """The loss in place of VGG-19's: colours at four sizes and edges at two of pictures [B, 3, S, S], 0 when equal."""
    return pyramid_loss(generated, real, torch.ones_like(real[:, :1]), _PYRAMID_LEVELS, edges=1.0)


def loss_weights(loss: DaganLossWeights, blocks: int, perceptual: bool) -> dict[str, float]:
    """The factor of every term. ``blocks`` are the critic's; ``perceptual`` tells whether VGG-19 is used."""
    return {
        "likeness": loss.perceptual if perceptual else loss.gradients,
        "adversarial": loss.adversarial,
        "matching": loss.matching * blocks,
        "value": loss.equivariance_value,
        "jacobian": loss.equivariance_jacobian,
        "distance": loss.distance,
    }
