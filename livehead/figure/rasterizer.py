"""Triangles to pixels with a depth buffer, on the processor, without any graphics driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
DoubleArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

_MAX_BATCH_PIXELS = 1 << 22  # pixels of bounding boxes that are tried together
_DEPTH_STEPS = 1 << 30  # steps of the depth buffer between the nearest and the farthest vertex


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """What is seen: ``rows``, ``columns`` [N] of the pixels that show a face, its number ``face_indices`` [N], and
    the ``barycentric`` shares [N, 3] of its corners there."""

    rows: IntArray
    columns: IntArray
    face_indices: IntArray
    barycentric: FloatArray

    def interpolate(self, values: npt.NDArray[np.generic], faces: npt.NDArray[np.int32]) -> FloatArray:
        """``values`` [V, C] of the vertices, mixed for every fragment: [N, C]."""
        corners = values[faces[self.face_indices]].astype(np.float32)
        result: FloatArray = np.einsum("nk,nkc->nc", self.barycentric, corners)
        return result


def rasterize(points: FloatArray, faces: npt.NDArray[np.int32], width: int, height: int) -> Fragments:
    """The nearest front faces at the centres of pixels.

    ``points`` [V, 3]: x to the right and y down in pixels (the first pixel's centre is at 0.5), z grows towards the
    viewer. ``faces`` [F, 3] are counter-clockwise as seen from the front; those that show their back are left out.
    """
    front = np.flatnonzero(_double_area(points[faces]) < 0)  # y points down: counter-clockwise is negative
    corners = points[faces[front]].astype(np.float64)
    low, high = corners[:, :, :2].min(axis=1), corners[:, :, :2].max(axis=1)
    limits = np.array([width, height])
    first = np.ceil(low - 0.5).clip(0, limits).astype(np.int64)
    last = np.floor(high - 0.5).clip(-1, limits - 1).astype(np.int64)  # both: pixels whose centres may be inside
    size = (last - first + 1).max(axis=1)
    seen = (last >= first).all(axis=1)
    far, near = (float(end(initial=0.0)) for end in (points[:, 2].min, points[:, 2].max))
    steps = _DEPTH_STEPS / max(near - far, 1e-12)
    buffer = np.full(width * height, -1, np.int64)
    reach = 1
    while seen.any():
        chosen = np.flatnonzero(seen & (size <= reach))
        seen[chosen] = False
        for part in np.array_split(chosen, max(1, len(chosen) * reach**2 // _MAX_BATCH_PIXELS)):
            _rasterize_faces(buffer, corners, part, first[part], reach, limits, (far, steps))
        reach *= 2
    pixels = np.flatnonzero(buffer >= 0)
    face = buffer[pixels] & 0xFFFFFFFF
    rows, columns = np.divmod(pixels, width)
    shares = _barycentric_coordinates(corners[face], columns + 0.5, rows + 0.5)
    return Fragments(rows, columns, front[face], shares.astype(np.float32))


def _rasterize_faces(
    buffer: IntArray,
    corners: DoubleArray,
    part: IntArray,
    first: IntArray,
    reach: int,
    limits: IntArray,
    depths: tuple[float, float],
) -> None:
    """Enter faces ``part``, whose boxes begin at the pixels ``first`` and are at most ``reach`` wide and high."""
    far, steps = depths
    row, column = np.divmod(np.arange(reach**2), reach)
    columns, rows = first[:, :1] + column, first[:, 1:] + row
    shares = _barycentric_coordinates(corners[part][:, None], columns + 0.5, rows + 0.5)
    face, pixel = np.nonzero((shares >= 0).all(axis=-1) & (columns < limits[0]) & (rows < limits[1]))
    depth = np.einsum("nk,nk->n", shares[face, pixel], corners[part[face], :, 2])
    keys = ((depth - far) * steps).astype(np.int64) << 32 | part[face]
    np.maximum.at(buffer, rows[face, pixel] * limits[0] + columns[face, pixel], keys)


def _double_area(corners: npt.NDArray[Any]) -> DoubleArray:
    """Signed, [...] of [..., 3, 2 or more]."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    result: DoubleArray = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        c[..., 0] - a[..., 0]
    )
    return result


def _barycentric_coordinates(corners: DoubleArray, x: DoubleArray, y: DoubleArray) -> DoubleArray:
    """Barycentric coordinates [..., 3] of (x, y) in triangles [..., 3, 3]; all are positive inside."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    area = _double_area(corners)
    of_b = ((x - a[..., 0]) * (c[..., 1] - a[..., 1]) - (y - a[..., 1]) * (c[..., 0] - a[..., 0])) / area
    of_c = ((b[..., 0] - a[..., 0]) * (y - a[..., 1]) - (b[..., 1] - a[..., 1]) * (x - a[..., 0])) / area
    return np.stack([1 - of_b - of_c, of_b, of_c], axis=-1)
