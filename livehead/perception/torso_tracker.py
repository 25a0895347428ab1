"""How the performer's torso moves, from the picture alone.

A patch below the chin is taken from the first frame, and in every later one it is looked for where it was last: an
affine map and a change of brightness that make the two look alike, by inverse compositional Gauss-Newton (Baker and
Matthews, "Lucas-Kanade 20 Years On", IJCV 2004, sections 3.2 and 4.1) from coarse to fine, with Geman and McClure's
weights, so that background, hands and hair in the patch count for little. Where the patch has no texture the map is
held at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.face.head import face_height
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Array, Keypoints, to_pixels, to_square

_AffineMap: TypeAlias = npt.NDArray[np.float64]
"""[2, 3], from the patch to the frame about the patch's middle: ``z -> m[:, :2] z + m[:, 2]``, in face heights."""

_FACE_PIXELS = 48  # pixels that the reference's face is high on the finest level
_PYRAMID_LEVELS = ((4, 3), (2, 2), (1, 1))  # how much smaller than the finest, and steps of descent, the coarsest first
_BLUR_SIGMA = 0.8  # pixels, on every level: what aliasing leaves would be followed
_MAX_POINTS = 350  # of a level, those of the strongest edges
_MIN_POINTS = 12
_CONTRAST = 20.0  # grey levels by which a point may be off before it counts as something else
_REGULARIZATION = np.array(
    [0.02, 0.02, 0.2, 0.2, 0.2, 0.2, 1e-6, 0.03]
)  # pull of shift, linear part, brightness and contrast
_IDENTITY_MAP: _AffineMap = np.eye(2, 3)
_NO_LIGHT_CHANGE = np.zeros(2)  # no change of brightness and contrast
_INVERSE_CONTRAST = np.float32(1 / _CONTRAST)
_POOR_MATCH_COST = 0.5  # cost (0 to 1) of a coarse match from which on one more start is tried
_MIN_STEP = 1e-3  # face heights: a smaller step is the last


class TorsoTracker:
    """Follows one torso. Not for several threads; cheap enough for every frame."""

    def __init__(self) -> None:
        self._patch: _TorsoPatch | None = None

    def reset(self) -> None:
        """Forget the torso; the next frame is the reference."""
        self._patch = None

    def track(self, image: Image, face: Keypoints) -> Array | None:
        """Torso points [1, 3, 2] in ``image``, uint8 [H, W, 3] RGB, whose face is the ``mesh478`` ``face``.

        Coordinates are the face's. None where the reference showed nothing of a torso.
        """
        if self._patch is None or self._patch.shape != image.shape[:2]:
            self._patch = _TorsoPatch(image, face.value[0])
        return self._patch.track(image, face.value[0])


@dataclass(frozen=True, slots=True, eq=False)
class _TorsoWindow:
    """The part of a frame that is looked at, in pixels, and ``zoom``: from its pixels to those of the finest level."""

    left: int
    top: int
    right: int
    bottom: int
    zoom: float

    def build_pyramid(self, image: Image) -> list[Array]:
        """Grey float32 [h, w] of the window in ``_PYRAMID_LEVELS``."""
        part = image[self.top : self.bottom, self.left : self.right]
        height, width = (max(round(side * self.zoom), 8) for side in part.shape[:2])
        # to twice the size by four samples a pixel, then by means: means of a camera frame would take longest of all
        double = cv2.resize(part, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        grey = cv2.resize(cv2.cvtColor(double, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA)
        fine = grey.astype(np.float32)
        sizes = [(max(width // by, 4), max(height // by, 4)) for by, _ in _PYRAMID_LEVELS]
        small = [
            cv2.resize(fine, size, interpolation=cv2.INTER_AREA) if size != (width, height) else fine for size in sizes
        ]
        return [np.asarray(cv2.GaussianBlur(level, (0, 0), _BLUR_SIGMA), np.float32) for level in small]


class _TorsoPatch:
    """The torso in its reference frame."""

    def __init__(self, image: Image, mesh: Array) -> None:
        self.shape = image.shape[:2]
        height, width = self.shape
        self._rest_points = rest_torso_points(mesh)
        self._rest_head = mesh[FACE_MESH.rigid].mean(axis=0)
        pixels = to_pixels(mesh, width, height)
        self._face_height = face_height(pixels)
        self._middle = to_pixels(self._rest_points[0], width, height)
        self._window = _torso_window(pixels, self._middle, self._face_height, width, height)
        self._levels = self._build_levels(image, pixels)
        self._last_map = _IDENTITY_MAP

    def _build_levels(self, image: Image, pixels: Array) -> list[_PyramidLevel]:
        window = self._window
        if window.bottom - window.top < 8 or window.right - window.left < 8:
            return []
        levels = window.build_pyramid(image)
        region = _torso_region(pixels, self._face_height, window, levels[-1].shape)
        return [
            _PyramidLevel(level, region, self._middle_in_level(level), self._unit_in_level(level)) for level in levels
        ]

    def _unit_in_level(self, level: Array) -> float:
        return self._face_height * level.shape[0] / (self._window.bottom - self._window.top)

    def _middle_in_level(self, level: Array) -> Array:
        window = self._window
        corner = np.array([window.left, window.top], np.float32) - np.float32(0.5)
        size = np.array([window.right - window.left, window.bottom - window.top], np.float32)
        shape = np.array(level.shape[::-1], np.float32)
        return np.asarray((self._middle - corner) / size * shape - np.float32(0.5), np.float32)

    def track(self, image: Image, mesh: Array) -> Array | None:
        """The torso's points in a frame."""
        if not self._levels or len(self._levels[0].positions) < _MIN_POINTS:
            return None
        coarse, *finer = zip(self._levels, self._window.build_pyramid(image), _PYRAMID_LEVELS, strict=True)
        level, picture, (_, steps) = coarse
        # where it was last, and at rest: what once went astray would else stay there
        tried = [level.fit(picture, start, steps) for start in (self._last_map, _IDENTITY_MAP)]
        costs = [level.cost(picture, each) for each in tried]
        if min(costs) > _POOR_MATCH_COST:
            tried.append(level.fit(picture, self._map_from_head(mesh), steps))
            costs.append(level.cost(picture, tried[-1]))
        found = tried[int(np.argmin(costs))]
        for level, picture, (_, steps) in finer:
            found = level.fit(picture, found, steps)
        self._last_map = found
        return self._map_rest_points(found)

    def _map_from_head(self, mesh: Array) -> _AffineMap:
        """The map of a torso that went where the head went."""
        shift = (mesh[FACE_MESH.rigid].mean(axis=0) - self._rest_head) * (max(self.shape) / 2) / self._face_height
        return np.column_stack([np.eye(2), shift])

    def _map_rest_points(self, found: _AffineMap) -> Array:
        height, width = self.shape
        rest = to_pixels(self._rest_points, width, height)
        unit = np.float32(self._face_height)
        from_middle = (rest - self._middle) / unit
        moved = from_middle @ found[:, :2].T.astype(np.float32) + found[:, 2].astype(np.float32)
        return to_square(moved * unit + self._middle, width, height)[None]


class _PyramidLevel:
    """The patch at one size: ``places`` [N, 2] of its points in pixels and how their grey changes with the map."""

    def __init__(self, picture: Array, region: Array, middle: Array, unit: float) -> None:
        x, y = (cv2.Sobel(picture, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
        inside = cv2.resize(region, picture.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
        rows, columns = np.nonzero(inside)
        strongest = np.argsort(-(x**2 + y**2)[rows, columns], kind="stable")[:_MAX_POINTS]
        rows, columns = rows[strongest], columns[strongest]
        self.positions = np.column_stack([columns, rows]).astype(np.float32)
        self._middle, self._unit = middle, np.float32(unit)
        self._from_middle = (self.positions - middle) / self._unit
        self._grey = picture[rows, columns]
        u, v = self._from_middle.T
        x, y = x[rows, columns] * self._unit, y[rows, columns] * self._unit
        contrast = self._grey - (self._grey.mean() if len(rows) else 0)
        self._steepest_descent = np.column_stack([x, y, x * u, x * v, y * u, y * v, np.ones_like(x), contrast]).astype(
            np.float32
        )
        self._regularization = _REGULARIZATION * max(len(rows), 1) * _CONTRAST**2

    def fit(self, picture: Array, start: _AffineMap, steps: int) -> _AffineMap:
        """The map that makes ``picture`` look like the patch, from ``start`` on."""
        found, light = start, None
        for _ in range(steps):
            off, inside = self._residuals(picture, found)
            light = self._median_brightness(off, inside) if light is None else light
            left = off - self._steepest_descent[:, 6:] @ light
            weighted = self._steepest_descent * (inside / np.square(1 + np.square(left * _INVERSE_CONTRAST)))[:, None]
            away = np.concatenate([found[:, 2], (found - _IDENTITY_MAP)[:, :2].ravel(), _NO_LIGHT_CHANGE])
            normal = (weighted.T @ self._steepest_descent).astype(np.float64) + np.diag(self._regularization)
            step = np.linalg.solve(normal, (weighted.T @ off).astype(np.float64) + self._regularization * away)
            light = step[6:].astype(np.float32)
            found = _compose_inverse(found, step[:6])
            if np.abs(step[:6]).max() < _MIN_STEP:
                break
        return found

    def cost(self, picture: Array, found: _AffineMap) -> float:
        """How badly ``picture`` looks like the patch under a map: 0 to 1, and more for maps far from rest."""
        off, inside = self._residuals(picture, found)
        squares = np.square(
            (off - self._steepest_descent[:, 6:] @ self._median_brightness(off, inside)) * _INVERSE_CONTRAST
        )
        away = np.concatenate([found[:, 2], (found - _IDENTITY_MAP)[:, :2].ravel()])
        return float(np.where(inside, squares / (squares + 1), 1.0).mean()) + float(
            _REGULARIZATION[:6] @ np.square(away)
        )

    def _median_brightness(self, off: Array, inside: npt.NDArray[np.bool_]) -> Array:
        """Brightness alone that explains most of what ``_residuals`` found."""
        return np.array([np.median(off[inside]) if inside.any() else 0, 0], np.float32)

    def _residuals(self, picture: Array, found: _AffineMap) -> tuple[Array, npt.NDArray[np.bool_]]:
        """How much brighter than the patch ``picture`` is at each point under a map, and which lie inside of it."""
        matrix = found.astype(np.float32)
        places = (self._from_middle @ matrix[:, :2].T + matrix[:, 2]) * self._unit + self._middle
        height, width = picture.shape
        inside = (places >= 0).all(axis=1) & (places[:, 0] <= width - 1) & (places[:, 1] <= height - 1)
        seen = cv2.remap(picture, places[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return np.asarray(seen[0] - self._grey, np.float32), inside


def _compose_inverse(found: _AffineMap, step: npt.NDArray[np.float64]) -> _AffineMap:
    """``found`` after the inverse of a small map (shift, then linear part less 1): the inverse compositional update."""
    linear = found[:, :2] @ np.linalg.inv(np.eye(2) + step[2:].reshape(2, 2))
    return np.column_stack([linear, found[:, 2] - linear @ step[:2]])


def _torso_window(pixels: Array, neck: Array, face: float, width: int, height: int) -> _TorsoWindow:
    """The patch and room for it to move, cut at the frame's borders."""
    left, right = (round(float(neck[0]) + side * 2.0 * face) for side in (-1, 1))
    top, bottom = (
        round(float(pixels[FACE_MESH.chin, 1]) - 0.8 * face),
        round(float(pixels[FACE_MESH.chin, 1]) + 2.8 * face),
    )
    return _TorsoWindow(max(left, 0), max(top, 0), min(right, width), min(bottom, height), _FACE_PIXELS / face)


def _torso_region(pixels: Array, face: float, window: _TorsoWindow, shape: tuple[int, ...]) -> Array:
    """1 where the torso is to be expected on the finest level [h, w]: below the chin, about the neck, off the face."""
    height, width = shape
    by = np.array([width / (window.right - window.left), height / (window.bottom - window.top)], np.float32)
    places = (pixels - np.array([window.left, window.top], np.float32)) * by
    unit = face * float(by[1])
    region = np.zeros((height, width), np.uint8)
    column, row = (float(value) for value in places[FACE_MESH.chin])
    left, right = (int(np.clip(round(column + side * 1.25 * unit), 0, width)) for side in (-1, 1))
    first, last = (int(np.clip(round(row + below * unit), 0, height)) for below in (0.1, 2.2))
    region[first:last, left:right] = 1
    hull = cv2.convexHull(places[:468].astype(np.float32)).astype(np.int32)
    cv2.fillConvexPoly(region, hull, (0,))
    cv2.polylines(region, [hull], True, (0,), max(round(0.1 * unit), 1))
    return region.astype(np.float32)
