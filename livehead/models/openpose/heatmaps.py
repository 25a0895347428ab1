"""A network's maps as they are at the size of its input: all of it (``DensePlanes``), or only what is asked for.

The published decoder works on maps that were enlarged eightfold by cubic interpolation (OpenCV's, a = -0.75, half-pixel
centres). ``CubicPlanes`` has the same values, to rounding, but computes them only where something can be found: around
what may exceed the threshold, and along limbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from livehead.models.openpose.skeletons import Indices

Array = npt.NDArray[np.float32]
PlaneValues: TypeAlias = "npt.NDArray[np.float32] | npt.NDArray[np.complex64]"
"""Heat, or fields with x as the real and y as the imaginary part."""

STRIDE = 8
"""Pixels of the input to a cell of the maps."""

_CUBIC_COEFFICIENT = -0.75  # OpenCV's cubic kernel
_BORDER_CELLS = 3  # cells that repeat the border
_BATCH_BLOCKS = 2048  # squares of 10 x 10 pixels


@dataclass(frozen=True, slots=True, eq=False)
class LocalMaxima:
    """Pixels above all their neighbours, by plane and then in raster order: four arrays [N]."""

    plane: Indices
    y: Indices
    x: Indices
    value: Array


class HeatmapPlanes(Protocol):
    """[K, height, width] values, in pixels of the network's input."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def values_at(self, plane: Indices, y: Indices, x: Indices) -> PlaneValues:
        """Values at whole pixels that lie within the planes; the three are broadcast."""
        ...

    def find_maxima(self, threshold: float) -> LocalMaxima:
        """Of real planes: pixels above ``threshold`` and above their eight neighbours.

        The outermost pixels are none. On the ring one pixel inside, an equal neighbour does not matter, and one that is
        not there counts as the threshold.
        """
        ...


class DensePlanes:
    """The plain way: everything is there."""

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
    """``cells`` [K, h, w] at an eighth of the size, interpolated where they are looked at."""

    def __init__(self, cells: PlaneValues) -> None:
        self._cells: PlaneValues = np.pad(
            cells, ((0, 0), (_BORDER_CELLS, _BORDER_CELLS), (_BORDER_CELLS, _BORDER_CELLS)), mode="edge"
        )
        self._size = (cells.shape[1], cells.shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = self._size
        return len(self._cells), height * STRIDE, width * STRIDE

    def values_at(self, plane: Indices, y: Indices, x: Indices) -> PlaneValues:
        """Sixteen cells each, weighted."""
        _, rows, columns = self._cells.shape
        row, y_phase = np.divmod(y + STRIDE // 2, STRIDE)
        column, x_phase = np.divmod(x + STRIDE // 2, STRIDE)
        corner = (plane * rows + row + 1) * columns + column + 1
        taps = self._cells.ravel()[corner[..., None] + _tap_offsets(columns)]
        weights = _WEIGHTS_2D[y_phase * STRIDE + x_phase]
        summed: PlaneValues = np.einsum("...t,...t->...", taps, weights)
        return summed

    def find_maxima(self, threshold: float) -> LocalMaxima:
        """Squares between four cells' centres that cannot exceed the threshold are passed over."""
        cells = np.asarray(self._cells, np.float32)
        _, rows, columns = cells.shape
        plane, row, column = np.nonzero(_upper_bound(cells) > threshold)
        squares = np.stack([plane, row, column])
        offsets = (np.arange(6)[:, None] * columns + np.arange(6)).reshape(36, 1)
        found = []
        for start in range(0, squares.shape[1], _BATCH_BLOCKS):  # as many as the cache holds the pixels of
            batch = squares[:, start : start + _BATCH_BLOCKS]
            windows = cells.ravel()[offsets + (batch[0] * rows + batch[1]) * columns + batch[2]]
            pixels = (_UPSAMPLING_MATRIX @ windows).reshape(STRIDE + 2, STRIDE + 2, -1)
            self._fill_beyond_border(pixels, batch[1], batch[2], threshold)
            found.append(self._find_block_maxima(pixels, *batch, threshold))
        if not found:
            return LocalMaxima(plane, row, column, np.zeros(0, np.float32))
        plane, y, x, value = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((x, y, plane))
        return LocalMaxima(plane[order], y[order], x[order], value[order])

    def _fill_beyond_border(self, pixels: Array, row: Indices, column: Indices, value: float) -> None:
        """Put ``value`` beyond the planes' border into ``pixels`` [10, 10, N] of squares in those rows and columns."""
        _, height, width = self.shape
        cut = np.flatnonzero((row == 0) | (row == self._size[0]) | (column == 0) | (column == self._size[1]))
        reach = np.arange(-1, STRIDE + 1)[:, None] - STRIDE // 2
        y, x = row[cut] * STRIDE + reach, column[cut] * STRIDE + reach
        outside = ((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None]
        pixels[:, :, cut] = np.where(outside, np.float32(value), pixels[:, :, cut])

    def _find_block_maxima(
        self, pixels: Array, plane: Indices, row: Indices, column: Indices, threshold: float
    ) -> tuple[Indices, Indices, Indices, Array]:
        """Plane, y, x and value of the maxima among the inner pixels of each square; in row 1 the first is number 4."""
        _, height, width = self.shape
        inside, around = pixels[1:-1, 1:-1], _max_of_neighbours(pixels)
        in_y, in_x, number = np.nonzero((inside > threshold) & (inside >= around))
        y, x = row[number] * STRIDE + in_y - STRIDE // 2, column[number] * STRIDE + in_x - STRIDE // 2
        value = inside[in_y, in_x, number]
        ring, inner = _border_rings(y, x, height, width)
        kept = np.where(inner, value > around[in_y, in_x, number], ring)
        return plane[number][kept], y[kept], x[kept], value[kept]


def resize_cubic(cells: Array, size: tuple[int, int]) -> Array:
    """``cells`` [K, h, w] at ``size`` (width, height) by OpenCV's cubic interpolation."""
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in cells]).astype(np.float32)


def _cubic_weights(t: Array) -> Array:
    """Weights [..., 4] of the cells at -1, 0, 1 and 2 for a place ``t`` in [0, 1) (Keys, 1981)."""
    near, far = np.stack([t, 1 - t]), np.stack([1 + t, 2 - t])
    inner = ((_CUBIC_COEFFICIENT + 2) * near - (_CUBIC_COEFFICIENT + 3)) * near * near + 1
    outer = (
        (_CUBIC_COEFFICIENT * far - 5 * _CUBIC_COEFFICIENT) * far + 8 * _CUBIC_COEFFICIENT
    ) * far - 4 * _CUBIC_COEFFICIENT
    return np.stack([outer[0], inner[0], inner[1], outer[1]], axis=-1).astype(np.float32)


_WEIGHTS = _cubic_weights((np.arange(STRIDE) + 0.5) / STRIDE)
"""[8, 4]: the eight pixels between the centres of two cells."""

_WEIGHTS_2D = np.einsum("ya,xb->yxab", _WEIGHTS, _WEIGHTS).reshape(STRIDE * STRIDE, 16)


def _build_upsampling_matrix() -> Array:
    """[100, 36]: from 6 x 6 cells to the 8 x 8 pixels in their middle and the ring around these."""
    line = np.zeros((STRIDE + 2, 6), np.float32)
    line[0, 0:4], line[-1, 2:6] = _WEIGHTS[-1], _WEIGHTS[0]
    line[1:-1, 1:5] = _WEIGHTS
    return np.kron(line, line)


_UPSAMPLING_MATRIX = _build_upsampling_matrix()
_MAX_NEGATIVE_WEIGHT = float(
    -(_WEIGHTS[:, 0] + _WEIGHTS[:, 3]).min()
)  # most that the outer weights take away; the inner give it and 1


def _upper_bound(cells: Array) -> Array:
    """[K, h + 1, w + 1]: what no pixel between four cells' centres exceeds.

    Of the sixteen weights those of the inner cells sum to at most (1 + dip)^2, those of the corners to dip^2, all above
    zero; the rest is below and takes its least from the lowest cell.
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
    """The most or least of ``count`` x ``count`` cells from ``first`` on in each window of 6 x 6."""
    rows, columns = cells.shape[1] - 5, cells.shape[2] - 5
    across = pick.reduce([cells[:, :, first + i : first + i + columns] for i in range(count)])
    found: Array = pick.reduce([across[:, first + i : first + i + rows] for i in range(count)])
    return found


def _max_of_neighbours(padded: Array) -> Array:
    """The highest of each pixel's eight neighbours, for [h + 2, w + 2, N]: [h, w, N]."""
    sides = np.maximum(padded[:, :-2], padded[:, 2:])
    lines = np.maximum(sides, padded[:, 1:-1])
    found: Array = np.maximum(np.maximum(lines[:-2], lines[2:]), sides[1:-1])
    return found


def _border_rings(
    y: Indices, x: Indices, height: int, width: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether pixels lie on the ring one pixel inside, and further in; both False for the outermost."""
    ring = (x == 1) | (x == width - 2) | (y == 1) | (y == height - 2)
    inner = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return ring, inner


def _tap_offsets(columns: int) -> Indices:
    """Of the sixteen cells from the first one, in an array of that many columns."""
    return (np.arange(4)[:, None] * columns + np.arange(4)).ravel()
