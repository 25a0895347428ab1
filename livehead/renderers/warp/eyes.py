"""The eyes of a warped portrait: lids that close, and an eyeball behind them that looks about.

A photo shows only part of an eyeball. What the lids and the iris hide is completed once, from the visible part: the
white by its own colours, the iris by its mean colour at each distance from the pupil.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.easing import smoothstep
from livehead.motion.face.mesh import FACE_MESH, EyeIndices, Indices
from livehead.motion.keypoints import Array
from livehead.renderers.remap import sample_image

_CLOSED, _OPEN = 0.11, 0.18  # opening over width: the mesh of a closed eye still gapes by the first, see tests
_RIM, _RIM_OUTER = 1.08, 1.3  # radii of the iris at which it begins and ends to give way to the white
_PROFILE_STEPS = 16  # steps of distance from the pupil, up to the outer rim
_FULL_CHANGE = 0.04  # change of gaze or opening, in widths of the eye, from which the made-up eyeball is used alone
_LASH_REACH = 0.9  # how far lashes reach from the lid to the next ring of the mesh
_RIGHT_RING = np.array([247, 30, 29, 27, 28, 56, 190], np.int32)  # that ring, above the points of ``Eye.upper``
_LEFT_RING = np.array([467, 260, 259, 257, 258, 286, 414], np.int32)
_MIN_OPENING = 0.06  # opening over width below which nothing shows of the eyeball
_EDGE_DARKENING = 0.4  # darkening of the eyeball at the lids' edge
_ROUNDING_CHANGE = 1e-3  # less than that is rounding
_DARK_IRIS = np.array([52, 38, 30], np.float32)  # where the photo's eye is shut
_MIN_KNOWN_PIXELS = 12  # pixels; fewer are no base for a colour


@dataclass(frozen=True, slots=True, eq=False)
class CompletedEyeball:
    """An eyeball with the parts that the photo hides filled in.

    ``white`` and ``iris`` are uint8 [h, w, 3] RGB, with ``centre`` [2] of the iris in their pixels; ``radius`` is the
    iris's. ``axes`` [2, 2] are the eye's axes (towards the inner corner, and down as long as the lids are apart) and
    ``opening_centre`` [2] the middle of the opening, in pixels. ``rest_gaze`` [3] is the photo's gaze (along and down)
    and opening, in widths of the eye.
    """

    white: Image
    iris: Image
    centre: Array
    radius: float
    opening_centre: Array
    axes: Array
    rest_gaze: Array


def close_lids(source: Array, target: Array, eye: EyeIndices) -> None:
    """Shut ``eye`` of ``target`` [478, 3] in place where the performer's is shut, so that no slit stays open.

    ``source`` tells how wide open this person's eye is at rest: narrow eyes are not taken for shut ones.
    """
    rest = _eye_openness(source, eye)
    closed, opened = min(_CLOSED, 0.5 * rest), min(_OPEN, 0.9 * rest)
    share = smoothstep(_eye_openness(target, eye), closed, max(opened, closed + 1e-6))
    if share < 1:
        upper, lower = eye.upper[1:-1], eye.lower[1:-1]
        target[upper] = target[lower] + share * (target[upper] - target[lower])


def lash_points(source: Array, target: Array, scale: float) -> Array:
    """Return 14 points [14, 3] above the upper lids, 7 of the right and 7 of the left eye.

    In ``source`` [478, 3] they lie part of the way to the next ring of the mesh. In ``target`` they keep their distance
    from the lid's edge (times ``scale``) when a closing lid pulls that ring away, so that lashes are not drawn out.
    """
    points = []
    for eye, ring in ((FACE_MESH.right_eye, _RIGHT_RING), (FACE_MESH.left_eye, _LEFT_RING)):
        edge = eye.upper[1:-1]
        span = target[ring] - target[edge]
        rest = scale * np.linalg.norm(source[ring] - source[edge], axis=-1)
        kept = np.minimum(rest / np.maximum(np.linalg.norm(span, axis=-1), 1e-6), 1)
        points.append(target[edge] + _LASH_REACH * kept[:, None] * span)
    joined: Array = np.concatenate(points).astype(np.float32)
    return joined


def lash_triangles(first: int) -> Indices:
    """Return the skin between lids and ring as triangles, with the points of ``lash_points`` in between.

    Those points are numbered from ``first``.
    """
    triangles: list[tuple[int, int, int]] = []
    for eye, ring, start in ((FACE_MESH.right_eye, _RIGHT_RING, first), (FACE_MESH.left_eye, _LEFT_RING, first + 7)):
        outer, inner = int(eye.upper[0]), int(eye.upper[-1])
        rows = [[int(i) for i in ring], list(range(start, start + 7)), [int(i) for i in eye.upper[1:-1]]]
        strip: list[tuple[int, int, int]] = []
        for above, below in itertools.pairwise(rows):
            strip += [(outer, above[0], below[0]), (above[-1], inner, below[-1])]
            strip += [(above[i], above[i + 1], below[i]) for i in range(6)]
            strip += [(below[i], above[i + 1], below[i + 1]) for i in range(6)]
        mirrored = eye is FACE_MESH.left_eye
        triangles += [(a, c, b) if mirrored else (a, b, c) for a, b, c in strip]
    return np.array(triangles, np.int32)


def skin_triangles() -> Indices:
    """Return the mesh's triangles but for those that ``lash_triangles`` replaces."""
    replaced = np.zeros(len(FACE_MESH.triangles), bool)
    for eye, ring in ((FACE_MESH.right_eye, _RIGHT_RING), (FACE_MESH.left_eye, _LEFT_RING)):
        replaced |= np.isin(FACE_MESH.triangles, np.concatenate([eye.upper, ring])).all(axis=1)
    kept: Indices = FACE_MESH.triangles[~replaced]
    return kept


def complete_eyeball(image: Image, pixels: Array, eye: EyeIndices) -> CompletedEyeball:
    """Fill in the hidden parts of the eyeball in ``image`` [S, S, 3]; ``pixels`` [478, 2] is the mesh in its pixels."""
    middle, frame = _opening_axes(pixels, eye)
    width = float(np.linalg.norm(pixels[eye.upper[0]] - pixels[eye.upper[-1]]))
    corner = np.clip(np.floor(middle - 0.8 * width), 0, image.shape[0] - 1).astype(int)
    end = np.clip(np.ceil(middle + 0.8 * width), corner + 1, image.shape[0]).astype(int)
    patch = image[corner[1] : end[1], corner[0] : end[0]].astype(np.float32)
    visible = _polygon_mask(pixels[eye.opening] - corner, patch.shape[:2]) > 127
    inset = max(1, round(0.025 * width))
    visible = cv2.erode(visible.astype(np.uint8), np.ones((2 * inset + 1, 2 * inset + 1), np.uint8)) > 0
    centre = pixels[eye.iris[0]] - corner
    radius = _iris_radius(pixels[eye.iris])
    away = _distance_map(patch.shape[:2], centre) / radius
    white = _complete_white(patch, visible & (away > 1.15), width)
    iris = _complete_iris(patch, visible & (away < _RIM_OUTER), away)
    return CompletedEyeball(
        white=np.rint(white).astype(np.uint8),
        iris=np.rint(iris).astype(np.uint8),
        centre=centre.astype(np.float32),
        radius=radius,
        opening_centre=(middle - corner).astype(np.float32),
        axes=frame,
        rest_gaze=_gaze_and_opening(pixels, eye, middle, frame),
    )


def draw_eye(picture: Image, eyeball: CompletedEyeball, target: Array, eye: EyeIndices) -> None:
    """Lay the eyeball into the opening of ``eye`` in ``picture`` [S, S, 3], in place.

    ``target`` [478, 2] is the mesh in pixels. Where neither gaze nor lids have moved, the picture stays as it is: the
    photo's own eye is better than the completed one.
    """
    middle, frame = _opening_axes(target, eye)
    stance = _gaze_and_opening(target, eye, middle, frame)
    change = float(np.abs(stance - eyeball.rest_gaze).max()) - _ROUNDING_CHANGE
    strength = min(change / _FULL_CHANGE, float(stance[2]) / _MIN_OPENING, 1.0)
    outline = target[eye.opening]
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 3, picture.shape[0])
    if strength <= 0 or (high - low).min() < 2:
        return
    shape = (int(high[1] - low[1]), int(high[0] - low[0]))
    mask = _polygon_mask(outline - low, shape)
    corner = low.astype(np.float32)
    ball = _render_eyeball(eyeball, middle - corner, frame, target[eye.iris] - corner, shape)
    depth = cv2.GaussianBlur(mask, (0, 0), max(0.04 * float(np.ptp(outline[:, 0])), 0.5)).astype(np.float32)
    ball *= (1 - _EDGE_DARKENING + _EDGE_DARKENING * np.clip(depth / 127.5 - 1, 0, 1))[..., None]
    share = cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32)[..., None] * np.float32(strength / 255)
    window = picture[low[1] : high[1], low[0] : high[0]]
    window[:] = np.rint(window + share * (ball - window)).astype(np.uint8)


def _render_eyeball(
    eyeball: CompletedEyeball, middle: Array, axes: Array, iris: Array, shape: tuple[int, int]
) -> Array:
    """Draw the bare eyeball in an opening with ``middle`` and ``axes``, ``iris`` [5, 2] in place: float32 [h, w, 3]."""
    pixels = np.empty((*shape, 2), np.float32)
    pixels[..., 0] = np.arange(shape[1])
    pixels[..., 1] = np.arange(shape[0])[:, None]
    back = (eyeball.axes @ _inverse_axes(axes)).astype(np.float32)
    white = sample_image(eyeball.white, (pixels - middle) @ back.T + eyeball.opening_centre).astype(np.float32)
    offset = (pixels - iris[0].astype(np.float32)) * np.float32(1 / _iris_radius(iris))
    away = np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2)
    inside = sample_image(eyeball.iris, offset * np.float32(eyeball.radius) + eyeball.centre)
    share = np.clip((_RIM_OUTER - away) * np.float32(1 / (_RIM_OUTER - _RIM)), 0, 1)[..., None]
    white += share * (inside - white)
    return white


def _gaze_and_opening(pixels: Array, eye: EyeIndices, middle: Array, axes: Array) -> Array:
    """Return the gaze along and down the eye and its opening, [3], in widths of the eye."""
    width, gape = np.sqrt(np.sum(axes * axes, axis=0))
    gaze = _inverse_axes(axes) @ (pixels[eye.iris[0]] - middle)
    return np.array([gaze[0], gaze[1] * gape / width, gape / width], np.float32)


def _opening_axes(pixels: Array, eye: EyeIndices) -> tuple[Array, Array]:
    """Return the middle [2] and the axes [2, 2] (columns: corner to corner, lid to lid) of the opening."""
    across = pixels[eye.upper[-1]] - pixels[eye.upper[0]]
    gape = (pixels[eye.lower[2:-2]] - pixels[eye.upper[2:-2]]).mean(axis=0)
    down = np.array([-across[1], across[0]]) / max(float(np.hypot(across[0], across[1])), 1e-6)
    along = float(down @ gape)
    down = down if along >= 0 else -down
    frame: Array = np.stack([across, down * max(abs(along), 0.5)], axis=1).astype(np.float32)
    middle: Array = pixels[eye.opening].mean(axis=0).astype(np.float32)
    return middle, frame


def _inverse_axes(frame: Array) -> Array:
    """Return the inverse of two axes at right angles, which are never zero."""
    inverse: Array = frame.T / np.sum(frame * frame, axis=0)[:, None]
    return inverse


def _eye_openness(points: Array, eye: EyeIndices) -> float:
    """Return the mean opening of an eye over its width."""
    gape = np.linalg.norm(points[eye.upper[3:-3], :2] - points[eye.lower[3:-3], :2], axis=-1).mean()
    return float(gape / max(float(np.linalg.norm(points[eye.upper[0]] - points[eye.upper[-1]])), 1e-6))


def _iris_radius(iris: Array) -> float:
    """Return the mean radius of an iris [5, 2], given as its centre and four points of its rim."""
    return max(float(np.sqrt(np.sum((iris[1:] - iris[0]) ** 2, axis=1)).mean()), 0.5)


def _distance_map(shape: tuple[int, ...], centre: Array) -> Array:
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance: Array = np.hypot(x - centre[0], y - centre[1]).astype(np.float32)
    return distance


def _polygon_mask(corners: Array, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return the share of each pixel inside ``corners`` [n, 2], 0 to 255."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    return mask


def _complete_white(patch: Array, known: npt.NDArray[np.bool_], width: float) -> Array:
    """Return ``patch`` where it is ``known`` white, elsewhere smooth colours from nearby."""
    if int(known.sum()) < _MIN_KNOWN_PIXELS:
        return np.full_like(patch, 0.5 * float(patch.mean()) + 90)
    weight = known.astype(np.float32)
    filled = np.full_like(patch, patch[known].mean(axis=0))
    for sigma in (0.2 * width, 0.08 * width, 0.03 * width):
        spread = cv2.GaussianBlur(weight, (0, 0), max(sigma, 0.6))[..., None]
        colour = cv2.GaussianBlur(patch * weight[..., None], (0, 0), max(sigma, 0.6))
        filled = np.where(spread > 0.05, colour / np.maximum(spread, 1e-6), filled)
    white: Array = np.where(known[..., None], patch, filled).astype(np.float32)
    return white


def _complete_iris(patch: Array, known: npt.NDArray[np.bool_], away: Array) -> Array:
    """Return ``patch`` where it is ``known`` iris, elsewhere the mean colour at the same distance from the pupil."""
    if int(known.sum()) < _MIN_KNOWN_PIXELS:
        pupil = np.clip((away - 0.35) / 0.15, 0.25, 1)[..., None]
        dark: Array = (_DARK_IRIS * pupil).astype(np.float32)
        return dark
    step = np.minimum((away / _RIM_OUTER * _PROFILE_STEPS).astype(int), _PROFILE_STEPS - 1)
    count = np.bincount(step[known], minlength=_PROFILE_STEPS)
    total = np.stack([np.bincount(step[known], patch[known][:, c], _PROFILE_STEPS) for c in range(3)], axis=1)
    seen = np.flatnonzero(count)
    profile = np.stack(
        [np.interp(np.arange(_PROFILE_STEPS), seen, total[seen, c] / count[seen]) for c in range(3)], axis=1
    )
    iris: Array = np.where(known[..., None], patch, profile[step]).astype(np.float32)
    return iris
