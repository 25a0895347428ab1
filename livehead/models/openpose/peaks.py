"""Where parts are: peaks of the heat maps, to a fraction of a pixel (Cao et al., TPAMI 2019, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livehead.models.openpose.heatmaps import Array, HeatmapPlanes
from livehead.models.openpose.skeletons import Indices

MAX_PEAKS = 127
"""Peaks of a part that are kept, the first in raster order."""

_REFINEMENT_RADIUS = 3  # pixels to each side of a peak over which its place is averaged


@dataclass(frozen=True, slots=True, eq=False)
class HeatmapPeaks:
    """Sorted by part: ``part``, ``x``, ``y`` (pixels of the network's input) and ``score``, each [N].

    ``first`` [K + 1]: those of part k are ``first[k]`` to ``first[k + 1]``.
    """

    part: Indices
    x: Array
    y: Array
    score: Array
    first: Indices

    @property
    def count(self) -> Indices:
        """[K]: how many there are of each part."""
        return np.diff(self.first)


def find_peaks(heat: HeatmapPlanes, threshold: float, offset: float) -> HeatmapPeaks:
    """Peaks of [K, height, width] above ``threshold``, at most ``MOST`` of each part.

    The place is the mean of those around it, by their positive values, and ``offset`` in both directions.
    """
    maxima = heat.find_maxima(threshold)
    first = np.searchsorted(maxima.plane, np.arange(heat.shape[0] + 1))
    kept = np.arange(len(maxima.plane)) - first[maxima.plane] < MAX_PEAKS
    part, row, column, score = (each[kept] for each in (maxima.plane, maxima.y, maxima.x, maxima.value))
    x, y = _refine_positions(heat, part, row, column)
    shift = np.float32(offset)
    return HeatmapPeaks(part, x + shift, y + shift, score, np.searchsorted(part, np.arange(heat.shape[0] + 1)))


def _refine_positions(heat: HeatmapPlanes, part: Indices, row: Indices, column: Indices) -> tuple[Array, Array]:
    _, height, width = heat.shape
    reach = np.arange(-_REFINEMENT_RADIUS, _REFINEMENT_RADIUS + 1)
    y, x = (row[:, None] + reach)[:, :, None], (column[:, None] + reach)[:, None, :]
    there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    values = heat.values_at(part[:, None, None], y.clip(0, height - 1), x.clip(0, width - 1)).real
    weights = np.where(there, values, 0).clip(0).astype(np.float64)
    total = weights.sum(axis=(1, 2))
    mean_x, mean_y = (weights * x).sum(axis=(1, 2)) / total, (weights * y).sum(axis=(1, 2)) / total
    return mean_x.astype(np.float32), mean_y.astype(np.float32)
