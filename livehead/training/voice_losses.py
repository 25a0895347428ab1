"""What is asked of the voice model: the right motion, at the right speed, up and down with the truth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_KNEE = 0.5  # of a coefficient's spread: errors beyond it count linearly
_LAG = 2  # steps between which speed is measured: a frame of video
_UNSETTLED, _EARLY = 15, 0.3  # steps at a stretch's beginning, where the network knows no past, and what they count
_SMALLEST = 0.1  # spread below which a stretch has nothing to correlate with
_TINY = 1e-6  # a square root has no slope at 0


class VoiceTerms(NamedTuple):
    """``motion``, ``velocity``: mean errors in spreads; ``correlation``: 1 minus it, all weighted over outputs."""

    motion: Tensor
    velocity: Tensor
    correlation: Tensor


def voice_terms(found: Tensor, wanted: Tensor, known: Tensor, weights: Tensor) -> VoiceTerms:
    """Of ``found`` [B, M, K, T] against ``wanted`` [B, K, T] where ``known`` [B, T] is 1; ``weights`` [K]."""
    wanted = wanted[:, None].expand_as(found)
    weight = known[:, None, None] * weights[:, None]
    weight = torch.cat([weight[..., :_UNSETTLED] * _EARLY, weight[..., _UNSETTLED:]], dim=-1).expand_as(found)
    motion = _mean(F.smooth_l1_loss(found, wanted, reduction="none", beta=_KNEE), weight)
    speeds = (each[..., _LAG:] - each[..., :-_LAG] for each in (found, wanted))
    velocity = _mean(F.smooth_l1_loss(*speeds, reduction="none", beta=_KNEE), weight[..., _LAG:])
    together = correlation(found, wanted, known[:, None, None].expand_as(found))
    return VoiceTerms(motion, velocity, _mean(1 - together, weights.expand_as(together)))


def correlation(found: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """[...]: Pearson's, over the last axis of [..., T] where ``known``; near 0 where next to nothing moves."""
    count = known.sum(dim=-1).clamp_min(1)
    mine, theirs = ((each - ((each * known).sum(dim=-1) / count)[..., None]) * known for each in (found, wanted))
    power = (mine.square().sum(dim=-1) * theirs.square().sum(dim=-1) + _TINY).sqrt()
    return (mine * theirs).sum(dim=-1) / (power + _SMALLEST * count)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)
