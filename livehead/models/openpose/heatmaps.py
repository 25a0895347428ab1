"""A network's maps at the size of its input: computed as a whole (``DensePlanes``), or only where they are read.

The published decoder works on maps that were enlarged eightfold by cubic interpolation (OpenCV's, a = -0.75, half-pixel
centres). ``CubicPlanes`` has the same values, to rounding, but computes them only where something can be found: around
cells that may exceed the threshold, and along limbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt

from livehead.models.openpose.skeletons import Indices

Array = npt.NDArray[np.float32]
PlaneValues: TypeAlias = "npt.NDArray[np.float32] | npt.NDArray[np.complex64]"
"""Heat maps, or affinity fields with x as the real and y as the imaginary part."""

STRIDE = 8
"""Pixels of the input for each cell of the maps."""

_CUBIC_COEFFICIENT = -0.75  # OpenCV's cubic kernel
_BORDER_CELLS = 3  # cells that repeat the border
_BATCH_BLOCKS = 2048  # squares of 10 x 10 pixels


@dataclass(frozen=True, slots=True, eq=False)
class LocalMaxima:
    """Pixels above all their neighbours as four arrays [N], ordered by plane and then in raster order."""

    plane: Indices
    y: Indices
    x: Indices
    value: Array


class HeatmapPlanes(Protocol):
    """Planes [K, height, width] of values at the pixels of the network's input."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def values_at(self, plane: Indices, y: Indices, x: Indices) -> PlaneValues:
        """Values at whole pixels that lie within the planes; the three arrays are broadcast."""
        ...

    def find_maxima(self, threshold: float) -> LocalMaxima:
        """Find the pixels of real planes that are above ``threshold`` and above their eight neighbours.

        The outermost pixels are never maxima. On the ring one pixel inside, a neighbour may be equal, and one beyond
        the border counts as the threshold.
        """
        ...


class DensePlanes:
    """Planes whose values are all there."""

    def __init__(self, values: PlaneValues) -> None:
        self._values = values

    @property
    def shape(self) -> tuple[int, int, int]:
        planes, height, width = self._values.shape
        return planes, height, width

    def values_at(self, plane: Indices, y: Indices, x: Indices) -> PlaneValues:
        return self._values[plane, y, x]

    def find_maxima(self, threshold: float) -> LocalMaxima:
        values = np.asarray(self._values, np.float32)
        padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=threshold)
        around = _max_of_neighbours(padded.transpose(1, 2, 0)).transpose(2, 0, 1)
        _, height, width = values.shape
        ring, inner = _border_rings(np.arange(height)[:, None], np.arange(width), height, width)
        found = (values > threshold) & np.where(inner, values > around, ring & (values >= around))
        plane, y, x = np.nonzero(found)
        return LocalMaxima(plane, y, x, values[plane, y, x])


class CubicPlanes:
    """Planes given as ``cells`` [K, h, w] at an eighth of the size, interpolated where they are read."""

    def __init__(self, cells: PlaneValues) -> None:
        margin = (_BORDER_CELLS, _BORDER_CELLS)
        self._cells = cast(PlaneValues, np.pad(cells, ((0, 0), margin, margin), mode="edge"))
        self._size = (cells.shape[1], cells.shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = self._size
        return len(self._cells), height * STRIDE, width * STRIDE

    def values_at(self, plane: Indices, y: Indices, x: Indices) -> PlaneValues:
        """Values at whole pixels, each a weighted sum of sixteen cells."""
        _, rows, columns = self._cells.shape
        row, y_phase = np.divmod(y + STRIDE // 2, STRIDE)
        column, x_phase = np.divmod(x + STRIDE // 2, STRIDE)
        corner = (plane * rows + row + 1) * columns + column + 1
        taps = self._cells.ravel()[corner[..., None] + _tap_offsets(columns)]
        weights = _WEIGHTS_2D[y_phase * STRIDE + x_phase]
        summed: PlaneValues = np.einsum("...t,...t->...", taps, weights)
        return summed

    def find_maxima(self, threshold: float) -> LocalMaxima:
        """As ``HeatmapPlanes.find_maxima``, skipping squares between cell centres that cannot reach the threshold."""
        cells = np.asarray(self._cells, np.float32)
        _, rows, columns = cells.shape
        plane, row, column = np.nonzero(_upper_bound(cells) > threshold)
        squares = np.stack([plane, row, column])
        offsets = (np.arange(6)[:, None] * columns + np.arange(6)).reshape(36, 1)
        found = []
        for start in range(0, squares.shape[1], _BATCH_BLOCKS):  # as many as have their pixels in the CPU's cache
            block_plane, block_row, block_column = squares[:, start : start + _BATCH_BLOCKS]
            windows = cells.ravel()[offsets + (block_plane * rows + block_row) * columns + block_column]
            pixels = (_UPSAMPLING_MATRIX @ windows).reshape(STRIDE + 2, STRIDE + 2, -1)
            self._fill_beyond_border(pixels, block_row, block_column, threshold)
            found.append(self._find_block_maxima(pixels, block_plane, block_row, block_column, threshold))
        if not found:
            return LocalMaxima(plane, row, column, np.zeros(0, np.float32))
        plane, y, x, value = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((x, y, plane))
        return LocalMaxima(plane[order], y[order], x[order], value[order])

    def _fill_beyond_border(self, pixels: Array, row: Indices, column: Indices, value: float) -> None:
        """Set those of ``pixels`` [10, 10, N] to ``value`` that lie beyond the planes' border.

        ``row`` and ``column`` [N]: of the squares that the pixels belong to.
        """
        _, height, width = self.shape
        cut = np.flatnonzero((row == 0) | (row == self._size[0]) | (column == 0) | (column == self._size[1]))
        reach = np.arange(-1, STRIDE + 1)[:, None] - STRIDE // 2
        y, x = row[cut] * STRIDE + reach, column[cut] * STRIDE + reach
        outside = ((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None]
        pixels[:, :, cut] = np.where(outside, np.float32(value), pixels[:, :, cut])

    def _find_block_maxima(
        self, pixels: Array, plane: Indices, row: Indices, column: Indices, threshold: float
    ) -> tuple[Indices, Indices, Indices, Array]:
        """Plane, y, x and value of the maxima among each square's inner pixels; the first inner line of row 1 is 4."""
        _, height, width = self.shape
        inside, around = pixels[1:-1, 1:-1], _max_of_neighbours(pixels)
        in_y, in_x, number = np.nonzero((inside > threshold) & (inside >= around))
        y, x = row[number] * STRIDE + in_y - STRIDE // 2, column[number] * STRIDE + in_x - STRIDE // 2
        value = inside[in_y, in_x, number]
        ring, inner = _border_rings(y, x, height, width)
        kept = np.where(inner, value > around[in_y, in_x, number], ring)
        return plane[number][kept], y[kept], x[kept], value[kept]


def resize_cubic(cells: Array, size: tuple[int, int]) -> Array:
    """Resize ``cells`` [K, h, w] to ``size`` (width, height) by OpenCV's cubic interpolation."""
    planes = [np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC), np.float32) for plane in cells]
    return np.stack(planes)


def _cubic_weights(t: Array) -> Array:
    """Weights [..., 4] of the cells at -1, 0, 1 and 2 for a position ``t`` in [0, 1) (Keys, 1981)."""
    near, far = np.stack([t, 1 - t]), np.stack([1 + t, 2 - t])
    inner = ((_CUBIC_COEFFICIENT + 2) * near - (_CUBIC_COEFFICIENT + 3)) * near * near + 1
    outer = (
        (_CUBIC_COEFFICIENT * far - 5 * _CUBIC_COEFFICIENT) * far + 8 * _CUBIC_COEFFICIENT
    ) * far - 4 * _CUBIC_COEFFICIENT
    return np.asarray(np.stack([outer[0], inner[0], inner[1], outer[1]], axis=-1), np.float32)


_WEIGHTS = _cubic_weights((np.arange(STRIDE) + 0.5) / STRIDE)
"""Weights [8, 4] for the eight pixels between the centres of two cells."""

_WEIGHTS_2D = np.einsum("ya,xb->yxab", _WEIGHTS, _WEIGHTS).reshape(STRIDE * STRIDE, 16)


def _build_upsampling_matrix() -> Array:
    """The matrix [100, 36] from 6 x 6 cells to the 8 x 8 pixels in their middle and the ring around these."""
    line = np.zeros((STRIDE + 2, 6), np.float32)
    line[0, 0:4], line[-1, 2:6] = _WEIGHTS[-1], _WEIGHTS[0]
    line[1:-1, 1:5] = _WEIGHTS
    matrix: Array = np.kron(line, line)
    return matrix


_UPSAMPLING_MATRIX = _build_upsampling_matrix()
_MAX_NEGATIVE_WEIGHT = float(-(_WEIGHTS[:, 0] + _WEIGHTS[:, 3]).min())
"""The most that a line's two outer weights subtract; the inner two sum to this and 1."""


def _upper_bound(cells: Array) -> Array:
    """An upper bound [K, h + 1, w + 1] of the pixels between four cells' centres.

    Of the sixteen weights, those of the inner cells sum to at most (1 + d)^2 and those of the corners to d^2, where d
    is ``_MAX_NEGATIVE_WEIGHT``; the others are negative, and the lowest cell bounds what they subtract.
    """
    inner = _window_extreme(cells, np.maximum, 2, 2)
    most, least = _window_extreme(cells, np.maximum, 1, 4), _window_extreme(cells, np.minimum, 1, 4)
    bound = (
        (1 + _MAX_NEGATIVE_WEIGHT) ** 2 * inner
        + _MAX_NEGATIVE_WEIGHT**2 * most
        - 2 * _MAX_NEGATIVE_WEIGHT * (1 + _MAX_NEGATIVE_WEIGHT) * least
    )
    return np.asarray(bound + 1e-6, np.float32)


def _window_extreme(cells: Array, pick: np.ufunc, first: int, count: int) -> Array:
    """The largest or smallest of ``count`` x ``count`` cells, from ``first`` on, in each window of 6 x 6."""
    rows, columns = cells.shape[1] - 5, cells.shape[2] - 5
    across = pick.reduce([cells[:, :, first + i : first + i + columns] for i in range(count)])
    found: Array = pick.reduce([across[:, first + i : first + i + rows] for i in range(count)])
    return found


def _max_of_neighbours(padded: Array) -> Array:
    """The highest of each pixel's eight neighbours [h, w, N], for padded planes [h + 2, w + 2, N]."""
    sides = np.maximum(padded[:, :-2], padded[:, 2:])
    lines = np.maximum(sides, padded[:, 1:-1])
    found: Array = np.maximum(np.maximum(lines[:-2], lines[2:]), sides[1:-1])
    return found


def _border_rings(
    y: Indices, x: Indices, height: int, width: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Two masks of pixels: those on the ring one pixel inside the border, and those further in."""
    ring = (x == 1) | (x == width - 2) | (y == 1) | (y == height - 2)
    inner = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return ring, inner


def _tap_offsets(columns: int) -> Indices:
    """Offsets of sixteen cells from the first one, in a flattened array with that many columns."""
    return (np.arange(4)[:, None] * columns + np.arange(4)).ravel()
