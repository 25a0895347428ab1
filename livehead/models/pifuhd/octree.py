"""Occupancy on a regular grid over [-1, 1]^3, evaluated only near the surface.

The default is exact: every cell of the finest grid that the surface crosses has all its corners evaluated, whatever was
filled in before. The published octree is kept beside it, with its errors, for parity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]

OccupancyField: TypeAlias = Callable[[Floats], Floats]
"""Function that returns the occupancy [N] of points [N, 3] in [-1, 1]^3: x to the right, y up, z to the camera."""

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of points evaluated so far, and the approximate number in the end."""

SURFACE_LEVEL = 0.5
"""The occupancy at the surface."""

_COARSEST_CELLS = 64  # along each axis; all of them are evaluated
_UNIFORM_TOLERANCE = 0.05  # a cell whose corners differ by less is taken for free of surface
_CHUNK_POINTS = 1 << 16  # points evaluated at once: what a network needs for them fits into memory


@dataclass(frozen=True, slots=True, eq=False)
class OccupancyGrid:
    """Samples ``values`` [X, Y, Z]; the one at index i lies at ``offset + scale * i`` ([3] each).

    ``evaluated``: the number of samples that were evaluated; the others are interpolated.
    """

    values: Floats
    scale: Floats
    offset: Floats
    evaluated: int


def evaluate_octree(
    field: OccupancyField,
    resolution: int,
    *,
    first: int = _COARSEST_CELLS,
    published: bool = False,
    progress: ProgressCallback | None = None,
) -> OccupancyGrid:
    """Sample ``field`` at multiples of ``2 / resolution`` from -1 to 1 on every axis, both ends included.

    ``first``: cells along an axis of the coarsest level; ``resolution`` is that times a power of two. A detail
    smaller than such a cell may be missed. ``published``: as PIFuHD's own code does it, ``resolution`` samples an axis.
    """
    if resolution % first or (resolution // first) & (resolution // first - 1):
        raise ValueError(f"{resolution} is not {first} times a power of two")
    if published:
        return _evaluate_published(field, resolution, first, progress)
    levels = _OctreeLevels(field, resolution, first, progress)
    while len(levels.values) <= resolution:
        levels.refine()
    return OccupancyGrid(levels.values, *_grid_transform(resolution), levels.evaluated)


def evaluate_dense(field: OccupancyField, resolution: int, progress: ProgressCallback | None = None) -> OccupancyGrid:
    """Sample ``field`` on the grid of ``evaluate_octree``, evaluating every sample."""
    levels = _OctreeLevels(field, resolution, resolution, progress)
    return OccupancyGrid(levels.values, *_grid_transform(resolution), levels.evaluated)


def _grid_transform(resolution: int) -> tuple[Floats, Floats]:
    """Scale and offset [3] of the grid."""
    return np.full(3, 2 / resolution, np.float32), np.full(3, -1, np.float32)


class _OctreeLevels:
    """A grid that is refined level by level: ``values`` and ``known`` [n, n, n]; unknown values are interpolated."""

    def __init__(self, field: OccupancyField, resolution: int, first: int, progress: ProgressCallback | None) -> None:
        self._field, self._resolution, self._progress = field, resolution, progress
        self.values: Floats = np.zeros((first + 1,) * 3, np.float32)
        self.known = np.zeros(self.values.shape, bool)
        self.evaluated = 0
        self._evaluate_samples(np.arange(self.values.size))

    def refine(self) -> None:
        """Halve the cells and evaluate the samples of those that the surface crosses."""
        pending = _samples_of_cells(_find_surface_cells(self.values))
        self.values = _upsample_linear(self.values)
        known = np.zeros(self.values.shape, bool)
        known[::2, ::2, ::2] = self.known
        self.known = known
        asked = np.flatnonzero(pending & ~known)
        # A sample on another side of the surface than interpolation predicted brings the surface into skipped cells:
        # those are evaluated too, until no prediction fails. Cells far from them keep one sign throughout.
        while asked.size:
            expected = self.values.ravel()[asked] > SURFACE_LEVEL
            self._evaluate_samples(asked)
            surprises = asked[(self.values.ravel()[asked] > SURFACE_LEVEL) != expected]
            around = _find_neighbours(surprises, len(self.values))
            asked = around[~self.known.ravel()[around]]

    def _evaluate_samples(self, samples: Indices) -> None:
        """Evaluate samples, given by their flat indices."""
        scale, offset = _grid_transform(self._resolution)
        stride = self._resolution // (len(self.values) - 1)
        ahead = self.evaluated + len(samples) * _remaining_sample_factor(stride)
        for chunk in _split_chunks(samples):
            place = np.stack(np.unravel_index(chunk, self.values.shape), axis=1).astype(np.float32)
            self.values.ravel()[chunk] = self._field(place * (stride * scale) + offset)
            self.evaluated += len(chunk)
            if self._progress is not None:
                self._progress(self.evaluated, max(ahead, self.evaluated))
        self.known.ravel()[samples] = True


def _remaining_sample_factor(stride: int) -> int:
    """The number of samples of this and all finer levels over those of this one: four times as many each halving."""
    return (4 * stride**2 - 1) // 3


def _split_chunks(samples: Indices) -> Iterator[Indices]:
    for start in range(0, len(samples), _CHUNK_POINTS):
        yield samples[start : start + _CHUNK_POINTS]


def _corner_extremes(values: Floats) -> tuple[Floats, Floats]:
    """The least and the largest of the eight corners of every cell: [n - 1, n - 1, n - 1] each."""
    low = high = values
    for axis in range(3):
        head = (slice(None),) * axis
        low = np.minimum(low[(*head, slice(1, None))], low[(*head, slice(None, -1))])
        high = np.maximum(high[(*head, slice(1, None))], high[(*head, slice(None, -1))])
    return low, high


def _find_surface_cells(values: Floats) -> npt.NDArray[np.bool_]:
    """Find the cells that the surface crosses, or may cross."""
    low, high = _corner_extremes(values)
    return (high - low >= _UNIFORM_TOLERANCE) | ((low <= SURFACE_LEVEL) & (high > SURFACE_LEVEL))


def _samples_of_cells(cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask [2 n + 1, ...] of the samples, at half the cell size, that lie in or on ``cells`` [n, n, n]."""
    for axis in range(3):
        head = (slice(None),) * axis
        wide = np.zeros((*cells.shape[:axis], 2 * cells.shape[axis] + 1, *cells.shape[axis + 1 :]), bool)
        wide[(*head, slice(1, None, 2))] = cells
        wide[(*head, slice(0, -1, 2))] = cells
        wide[(*head, slice(2, None, 2))] |= cells
        cells = wide
    return cells


def _upsample_linear(values: Floats) -> Floats:
    """Interpolate linearly between the samples: [2 n - 1, 2 n - 1, 2 n - 1]."""
    for axis in range(3):
        head = (slice(None),) * axis
        fine = np.empty((*values.shape[:axis], 2 * values.shape[axis] - 1, *values.shape[axis + 1 :]), np.float32)
        fine[(*head, slice(None, None, 2))] = values
        between = fine[(*head, slice(1, None, 2))]
        np.add(values[(*head, slice(1, None))], values[(*head, slice(None, -1))], out=between)
        between *= 0.5
        values = fine
    return values


def _find_neighbours(samples: Indices, side: int) -> Indices:
    """All samples of the cells around ``samples``, once each."""
    if not samples.size:
        return samples
    place = np.stack(np.unravel_index(samples, (side,) * 3))
    steps = np.array(list(product((-1, 0, 1), repeat=3))).T
    around = (place[:, :, None] + steps[:, None]).reshape(3, -1).clip(0, side - 1)
    indices: Indices = np.unique(np.ravel_multi_index(tuple(around), (side,) * 3)).astype(np.int64)
    return indices


def _evaluate_published(
    field: OccupancyField, resolution: int, first: int, progress: ProgressCallback | None
) -> OccupancyGrid:
    """Evaluate as ``eval_grid_octree`` of the published code does, sample by sample.

    The last plane of every axis is never evaluated; cells of equal corners are filled far faces and evaluated corners
    included, later cells over earlier ones; the last slab of cells is never filled. y points down in this grid.
    """
    values: Floats = np.zeros((resolution,) * 3, np.float32)
    unknown = np.zeros(values.shape, bool)
    unknown[:-1, :-1, :-1] = True
    scale: Floats = np.array([2, -2, 2], np.float32) / resolution
    offset: Floats = np.array([-1, 1, -1], np.float32)
    evaluated, stride = 0, resolution // first
    while True:
        asked = np.zeros(values.shape, bool)
        asked[::stride, ::stride, ::stride] = unknown[::stride, ::stride, ::stride]
        samples = np.flatnonzero(asked)
        ahead = evaluated + len(samples) * _remaining_sample_factor(stride)
        for chunk in _split_chunks(samples):
            place = np.stack(np.unravel_index(chunk, values.shape), axis=1).astype(np.float32)
            values.ravel()[chunk] = field(place * scale + offset)
            evaluated += len(chunk)
            if progress is not None:
                progress(evaluated, ahead)
        unknown &= ~asked
        if stride == 1:
            return OccupancyGrid(values, scale, offset, evaluated)
        _fill_uniform_cells(values, unknown, stride)
        stride //= 2


def _fill_uniform_cells(values: Floats, unknown: npt.NDArray[np.bool_], stride: int) -> None:
    """Fill, in place, cells of about equal corners whose middle is unknown, in ascending order of their places."""
    low, high = _corner_extremes(values[::stride, ::stride, ::stride])
    middle = slice(stride // 2, -stride, stride)
    cells = np.flatnonzero((high - low < _UNIFORM_TOLERANCE) & unknown[middle, middle, middle])
    corner = np.stack(np.unravel_index(cells, low.shape)) * stride
    content = ((high + low) / 2).ravel()[cells]
    # A sample on a face belongs to several cells, and the last one wins: the one whose near face it is. So the far
    # faces are written first, those of the slowest axis before the others.
    for far in product((True, False), repeat=3):
        for step in product(*((stride,) if end else range(stride) for end in far)):
            at = tuple(corner + np.array(step)[:, None])
            values[at], unknown[at] = content, False
