"""How well two parts belong together: the line integral over the limb's affinity field (Cao et al., TPAMI 2019,
equation 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.models.openpose.heatmaps import Array, HeatmapPlanes
from livehead.models.openpose.peaks import HeatmapPeaks
from livehead.models.openpose.skeletons import Indices, Skeleton

_MIN_SAMPLES, _MAX_SAMPLES = 5, 25  # samples along a limb
_SHORT_LIMB_DIVISOR = 150  # limbs shorter than the map's mean side over this have no reliable direction
_SHORT_LIMB_BONUS = 1e-6


@dataclass(frozen=True, slots=True)
class LineIntegralRule:
    """When a limb's line integral counts.

    ``alignment_threshold``: least product of field and direction for a sample to count. ``min_share``: the share of
    samples that must count. ``peak_threshold``: the threshold of peaks; a limb too short to have a direction scores a
    little more than that.
    """

    alignment_threshold: float
    min_share: float
    peak_threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class LimbCandidates:
    """Pairs of peaks that may be a limb's ends: ``limb``, ``a`` and ``b`` (indices of peaks), ``score``, each [E]."""

    limb: Indices
    a: Indices
    b: Indices
    score: Array

    def __getitem__(self, which: Indices | npt.NDArray[np.bool_]) -> LimbCandidates:
        return LimbCandidates(self.limb[which], self.a[which], self.b[which], self.score[which])


def score_limb_candidates(
    fields: HeatmapPlanes, peaks: HeatmapPeaks, skeleton: Skeleton, rule: LineIntegralRule
) -> LimbCandidates:
    """Find all pairs of peaks whose limb has a score above zero, ordered by limb, a and b.

    ``fields``: complex [L, height, width], a limb's direction x + iy. All pairs are first sampled at a few points of
    the limb; only those that can still pass are integrated.
    """
    places = (peaks.x + 1j * peaks.y).astype(np.complex64)
    pairs = pair_peaks(peaks, skeleton)
    pairs = pairs[places[pairs.a] != places[pairs.b]]
    start, way = places[pairs.a], places[pairs.b] - places[pairs.a]
    longest = np.maximum(np.abs(way.real), np.abs(way.imag))
    steps = np.floor(np.sqrt(5 * longest) + 0.5).clip(_MIN_SAMPLES, _MAX_SAMPLES).astype(np.int64)
    length = np.abs(way)
    _, height, width = fields.shape
    near = length < np.sqrt(width * height) / _SHORT_LIMB_DIVISOR
    score = np.where(near, np.float32(rule.peak_threshold + _SHORT_LIMB_BONUS), np.float32(0))

    glance = np.stack([steps // 4, steps // 2, steps * 3 // 4], axis=1)
    seen = _sample_along_limbs(fields, pairs.limb, start, way, steps, glance)
    kept = _has_enough_aligned(steps - (seen <= rule.alignment_threshold).sum(axis=1), steps, rule)
    limb, start, way, steps = pairs.limb[kept], start[kept], way[kept], steps[kept]
    every = np.broadcast_to(np.arange(_MAX_SAMPLES), (len(steps), _MAX_SAMPLES))
    products = _sample_along_limbs(fields, limb, start, way, steps, np.minimum(every, steps[:, None] - 1))
    counted = (products > rule.alignment_threshold) & (every < steps[:, None])
    count = counted.sum(axis=1)
    passed = _has_enough_aligned(count, steps, rule)
    mean = np.where(counted, products, 0).sum(axis=1) / np.maximum(count, 1)
    score[kept] = np.where(passed, mean, score[kept])
    return LimbCandidates(pairs.limb, pairs.a, pairs.b, score)[score > 0]


def pair_peaks(peaks: HeatmapPeaks, skeleton: Skeleton) -> LimbCandidates:
    """Pair every peak of a limb's first part with every one of its second; the scores are zero."""
    table = skeleton.limb_table
    of_a, of_b = peaks.count[table[:, 0]], peaks.count[table[:, 1]]
    pairs = of_a * of_b
    limb = np.repeat(np.arange(len(table)), pairs)
    number = np.arange(len(limb)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    a, b = np.divmod(number, np.maximum(of_b[limb], 1))
    first = peaks.first[table[limb, :2]]
    return LimbCandidates(limb, first[:, 0] + a, first[:, 1] + b, np.zeros(len(limb), np.float32))


def _sample_along_limbs(
    fields: HeatmapPlanes,
    limb: Indices,
    start: npt.NDArray[np.complex64],
    way: npt.NDArray[np.complex64],
    steps: Indices,
    which: Indices,
) -> Array:
    """The product [E, S] of field and direction at the samples ``which`` [E, S] of ``steps`` [E] along the limb."""
    _, height, width = fields.shape
    place = start[:, None] + which.astype(np.float32) * (way / steps.astype(np.float32))[:, None]
    x = np.floor(place.real + 0.5).astype(np.int64).clip(0, width - 1)
    y = np.floor(place.imag + 0.5).astype(np.int64).clip(0, height - 1)
    direction = way / np.abs(way)
    return np.asarray((fields.values_at(limb[:, None], y, x) * direction.conj()[:, None]).real, np.float32)


def _has_enough_aligned(count: Indices, steps: Indices, rule: LineIntegralRule) -> npt.NDArray[np.bool_]:
    """Tell whether ``count`` of ``steps`` samples are a sufficient share."""
    found: npt.NDArray[np.bool_] = count.astype(np.float32) / steps.astype(np.float32) > np.float32(rule.min_share)
    return found
