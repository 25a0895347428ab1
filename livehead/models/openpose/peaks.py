"""Peaks of the heat maps, to a fraction of a pixel (Cao et al., TPAMI 2019, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livehead.models.openpose.heatmaps import Array, HeatmapPlanes
from livehead.models.openpose.skeletons import Indices

MAX_PEAKS = 127
"""The most peaks of a part that are kept: the first in raster order."""

_REFINEMENT_RADIUS = 3  # pixels to each side of a peak over which its place is averaged


@dataclass(frozen=True, slots=True, eq=False)
class HeatmapPeaks:
    """Peaks sorted by part: ``part``, ``x``, ``y`` (pixels of the network's input) and ``score``, each [N].

    ``first`` [K + 1]: the peaks of part k are ``first[k]`` to ``first[k + 1] - 1``.
    """

    part: Indices
    x: Array
    y: Array
    score: Array
    first: Indices

    @property
    def count(self) -> Indices:
        """The number [K] of peaks of each part."""
        return np.diff(self.first)


def find_peaks(heat: HeatmapPlanes, threshold: float, offset: float) -> HeatmapPeaks:
    """Find the peaks of heat maps above ``threshold``, at most ``MAX_PEAKS`` of each part.

    A peak's position is the mean of the pixels around it, weighted by their positive values, plus ``offset`` in both
    directions.
    """
    maxima = heat.find_maxima(threshold)
    first = np.searchsorted(maxima.plane, np.arange(heat.shape[0] + 1))
    kept = np.arange(len(maxima.plane)) - first[maxima.plane] < MAX_PEAKS
    part = maxima.plane[kept]
    x, y = _refine_positions(heat, part, maxima.y[kept], maxima.x[kept])
    shift = np.float32(offset)
    return HeatmapPeaks(
        part, x + shift, y + shift, maxima.value[kept], np.searchsorted(part, np.arange(heat.shape[0] + 1))
    )


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
