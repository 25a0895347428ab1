"""What is asked of the voice model: the right motion, at the right speed, up and down with the truth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_HUBER_BETA = 0.5  # of a coefficient's spread: errors beyond it count linearly
_VELOCITY_STEPS = 2  # steps between which speed is measured: a frame of video
_WARM_UP_STEPS, _WARM_UP_WEIGHT = (
    15,
    0.3,
)  # steps at a stretch's beginning, where the network knows no past, and what they count
_MIN_SPREAD = 0.1  # spread below which a stretch has nothing to correlate with
_EPSILON = 1e-6  # a square root has no slope at 0


class VoiceTerms(NamedTuple):
    """``motion``, ``velocity``: mean errors in spreads; ``correlation``: 1 minus it, all weighted over outputs."""

    motion: Tensor
    velocity: Tensor
    correlation: Tensor


def voice_losses(predicted: Tensor, target: Tensor, mask: Tensor, weights: Tensor) -> VoiceTerms:
    """Of ``found`` [B, M, K, T] against ``wanted`` [B, K, T] where ``known`` [B, T] is 1; ``weights`` [K]."""
    target = target[:, None].expand_as(predicted)
    weight = mask[:, None, None] * weights[:, None]
    weight = torch.cat(
        [weight[..., :_WARM_UP_STEPS] * _WARM_UP_WEIGHT, weight[..., _WARM_UP_STEPS:]], dim=-1
    ).expand_as(predicted)
    motion = _weighted_mean(F.smooth_l1_loss(predicted, target, reduction="none", beta=_HUBER_BETA), weight)
    speeds = (each[..., _VELOCITY_STEPS:] - each[..., :-_VELOCITY_STEPS] for each in (predicted, target))
    velocity = _weighted_mean(
        F.smooth_l1_loss(*speeds, reduction="none", beta=_HUBER_BETA), weight[..., _VELOCITY_STEPS:]
    )
    together = pearson_correlation(predicted, target, mask[:, None, None].expand_as(predicted))
    return VoiceTerms(motion, velocity, _weighted_mean(1 - together, weights.expand_as(together)))


def pearson_correlation(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """[...]: Pearson's, over the last axis of [..., T] where ``known``; near 0 where next to nothing moves."""
    count = mask.sum(dim=-1).clamp_min(1)
    mine, theirs = ((each - ((each * mask).sum(dim=-1) / count)[..., None]) * mask for each in (predicted, target))
    power = (mine.square().sum(dim=-1) * theirs.square().sum(dim=-1) + _EPSILON).sqrt()
    return (mine * theirs).sum(dim=-1) / (power + _MIN_SPREAD * count)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)
