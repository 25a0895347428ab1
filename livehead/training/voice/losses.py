"""The losses of the voice model: the right motion, at the right speed, that rises and falls with the truth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_HUBER_BETA = 0.5  # errors beyond this share of a coefficient's spread count linearly
_VELOCITY_STEPS = 2  # speed is measured over two steps, which is a frame of video
_WARM_UP_STEPS = 15  # at an excerpt's beginning the network knows no past, so that its first steps count less
_WARM_UP_WEIGHT = 0.3
_MIN_SPREAD = 0.1  # an excerpt of less spread has nothing to correlate with
_EPSILON = 1e-6  # a square root has no slope at 0


class VoiceTerms(NamedTuple):
    """Means over weighted outputs: errors of ``motion`` and ``velocity`` in spreads, and 1 minus ``correlation``."""

    motion: Tensor
    velocity: Tensor
    correlation: Tensor


def voice_losses(predicted: Tensor, target: Tensor, mask: Tensor, weights: Tensor) -> VoiceTerms:
    """The losses of ``predicted`` [B, M, K, T] against ``target`` [B, K, T] where ``mask`` [B, T] is 1.

    ``weights`` [K] are those of the outputs, M is the number of networks.
    """
    target = target[:, None].expand_as(predicted)
    weight = mask[:, None, None] * weights[:, None]
    weight = torch.cat(
        [weight[..., :_WARM_UP_STEPS] * _WARM_UP_WEIGHT, weight[..., _WARM_UP_STEPS:]], dim=-1
    ).expand_as(predicted)
    motion = _weighted_mean(F.smooth_l1_loss(predicted, target, reduction="none", beta=_HUBER_BETA), weight)
    speed, true_speed = (each[..., _VELOCITY_STEPS:] - each[..., :-_VELOCITY_STEPS] for each in (predicted, target))
    speed_error = F.smooth_l1_loss(speed, true_speed, reduction="none", beta=_HUBER_BETA)
    velocity = _weighted_mean(speed_error, weight[..., _VELOCITY_STEPS:])
    together = pearson_correlation(predicted, target, mask[:, None, None].expand_as(predicted))
    return VoiceTerms(motion, velocity, _weighted_mean(1 - together, weights.expand_as(together)))


def pearson_correlation(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Pearson's correlation over the last axis of [..., T] where ``mask`` is 1; near 0 where hardly anything moves."""
    count = mask.sum(dim=-1).clamp_min(1)
    mine, theirs = ((each - ((each * mask).sum(dim=-1) / count)[..., None]) * mask for each in (predicted, target))
    power = (mine.square().sum(dim=-1) * theirs.square().sum(dim=-1) + _EPSILON).sqrt()
    return (mine * theirs).sum(dim=-1) / (power + _MIN_SPREAD * count)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)
