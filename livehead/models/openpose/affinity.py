"""How well two parts belong together: the line integral over the limb's affinity field (TPAMI 2019, equation 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.models.openpose.heatmaps import Array, Planes
from livehead.models.openpose.peaks import Peaks
from livehead.models.openpose.skeletons import Indices, Skeleton

_FEWEST, _MOST = 5, 25  # samples along a limb
_NEAR = 150  # limbs shorter than the map's mean side over this have no direction to be told by
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class LineRule:
    """``aligned``: least product of field and direction for a sample to count; ``share`` of the samples that must.

    ``floor``: the threshold of peaks, a little more than which a limb without direction scores.
    """

    aligned: float
    share: float
    floor: float


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Two peaks each that may be the ends of a limb: ``limb``, ``a``, ``b`` (indices of peaks) and ``score``, [E]."""

    limb: Indices
    a: Indices
    b: Indices
    score: Array

    def __getitem__(self, which: Indices | npt.NDArray[np.bool_]) -> Edges:
        return Edges(self.limb[which], self.a[which], self.b[which], self.score[which])


def score_edges(fields: Planes, peaks: Peaks, skeleton: Skeleton, rule: LineRule) -> Edges:
    """All pairs of peaks whose limb has a score above zero, by limb, a and b.

    ``fields``: complex [L, height, width], a limb's direction x + iy. All pairs are first looked at in a few places
    along the limb; only those that can still pass are integrated.
    """
    places = (peaks.x + 1j * peaks.y).astype(np.complex64)
    pairs = pairs_of(peaks, skeleton)
    pairs = pairs[places[pairs.a] != places[pairs.b]]
    start, way = places[pairs.a], places[pairs.b] - places[pairs.a]
    longest = np.maximum(np.abs(way.real), np.abs(way.imag))
    steps = np.floor(np.sqrt(5 * longest) + 0.5).clip(_FEWEST, _MOST).astype(np.int64)
    length = np.abs(way)
    _, height, width = fields.shape
    near = length < np.sqrt(width * height) / _NEAR
    score = np.where(near, np.float32(rule.floor + _FLOOR), np.float32(0))

    glance = np.stack([steps // 4, steps // 2, steps * 3 // 4], axis=1)
    seen = _along(fields, pairs.limb, start, way, steps, glance)
    kept = _passes(steps - (seen <= rule.aligned).sum(axis=1), steps, rule)
    limb, start, way, steps = pairs.limb[kept], start[kept], way[kept], steps[kept]
    every = np.broadcast_to(np.arange(_MOST), (len(steps), _MOST))
    products = _along(fields, limb, start, way, steps, np.minimum(every, steps[:, None] - 1))
    counted = (products > rule.aligned) & (every < steps[:, None])
    count = counted.sum(axis=1)
    passed = _passes(count, steps, rule)
    mean = np.where(counted, products, 0).sum(axis=1) / np.maximum(count, 1)
    score[kept] = np.where(passed, mean, score[kept])
    return Edges(pairs.limb, pairs.a, pairs.b, score)[score > 0]


def pairs_of(peaks: Peaks, skeleton: Skeleton) -> Edges:
    """Every peak of a limb's first part with every one of its second, without a score."""
    table = skeleton.limb_table
    of_a, of_b = peaks.count[table[:, 0]], peaks.count[table[:, 1]]
    pairs = of_a * of_b
    limb = np.repeat(np.arange(len(table)), pairs)
    number = np.arange(len(limb)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    a, b = np.divmod(number, np.maximum(of_b[limb], 1))
    first = peaks.first[table[limb, :2]]
    return Edges(limb, first[:, 0] + a, first[:, 1] + b, np.zeros(len(limb), np.float32))


def _along(
    fields: Planes,
    limb: Indices,
    start: npt.NDArray[np.complex64],
    way: npt.NDArray[np.complex64],
    steps: Indices,
    which: Indices,
) -> Array:
    """[E, S]: field times direction at the samples ``which`` [E, S] of ``steps`` [E] from the start on."""
    _, height, width = fields.shape
    place = start[:, None] + which.astype(np.float32) * (way / steps.astype(np.float32))[:, None]
    x = np.floor(place.real + 0.5).astype(np.int64).clip(0, width - 1)
    y = np.floor(place.imag + 0.5).astype(np.int64).clip(0, height - 1)
    direction = way / np.abs(way)
    return np.asarray((fields.at(limb[:, None], y, x) * direction.conj()[:, None]).real, np.float32)


def _passes(count: Indices, steps: Indices, rule: LineRule) -> npt.NDArray[np.bool_]:
    """Whether so many samples of so many are enough."""
    found: npt.NDArray[np.bool_] = count.astype(np.float32) / steps.astype(np.float32) > np.float32(rule.share)
    return found
