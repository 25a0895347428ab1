"""The surroundings of the face: hair, ears, neck and shoulders as a coarse mesh that hangs on the head."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.motion.easing import smoothstep
from livehead.motion.face.head import HeadMotion
from livehead.motion.face.mesh import FACE_MESH, Indices
from livehead.motion.keypoints import Array
from livehead.renderers.warp.foreground import PortraitLayers

_EXTENT = 1.5  # the mesh reaches this far beyond the picture, so that there is something to pull in at its edge
_SPACING = 0.14
_CLEARANCE = 0.05  # no vertex is nearer to the face's outline
_EDGE_HOLD = 0.3  # from the photo's end inwards

# In heights of the face (forehead to chin), measured on the train and val clips:
_NECK_TOP, _NECK_BOTTOM = -0.75, 0.2  # where along the face's axis, from the chin down, the head lets go of the body
_HAIR_ENDS = (0.2, 0.8)  # between these distances from the outline
_BODY_FOLLOWS = 0.15  # share of the head's shift that the shoulders take
_NECK_SHEARS, _NECK_SWELLS = 0.15, 0.12  # how far and by what factor (its logarithm) the head moves without them
_JOINT = (0.25, 0.45)  # of head and neck, below and behind the middle of the face
_SPREAD = 0.08  # over what distance neighbours of the outline share its bending
_REACH = 0.15  # over what distance that bending dies out
_SLOPE, _DEEPEST = 0.7, 0.45  # how quickly and how far the head recedes behind the outline


@dataclass(frozen=True, slots=True, eq=False)
class HairBodyMesh:
    """A mesh around the face that follows the head near it and lets go of it towards the body.

    ``points`` [M, 3] lie in the source, the last 36 of them on the face's outline; ``triangles`` [T, 3] are over the
    face's points and these. ``head`` [M] is how far a point goes with the skull, ``bend`` [M, 36] how it follows what
    the outline does beside that, and ``pivot`` [3] the joint of head and neck; ``height`` is that of the face. ``free``
    [2, M, 2] is the share of a shift that is left near the photo's first and last x, y.
    """

    points: Array
    triangles: Indices
    head: Array
    bend: Array
    pivot: Array
    height: float
    free: Array

    def deform(self, motion: HeadMotion, outline: Array) -> Array:
        """Return the points [M, 3] after ``motion``, when the face's outline has gone to ``outline`` [36, 3]."""
        body = self._body_shift(motion)
        rigid = motion.apply(self.points) - self.points
        shift: Array = body + self.head[:, None] * (rigid - body)
        # Bending takes up all the difference at the outline, so that skin goes over into neck and hair without a step.
        shift += self.bend @ (outline - (self.points + shift)[-len(outline) :])
        shift[:, :2] *= np.where(shift[:, :2] > 0, self.free[0], self.free[1])
        return self.points + shift

    def _body_shift(self, motion: HeadMotion) -> Array:
        """Return the shift [M, 3] of the body.

        The body comes along where the neck would stretch, shear or swell too much.
        """
        shift = motion.apply(self.pivot) - self.pivot
        amount = float(np.linalg.norm(shift[:2])) / self.height
        share = 1 - _soft_limit((1 - _BODY_FOLLOWS) * amount, _NECK_SHEARS) / max(amount, 1e-6)
        grown = np.log(motion.scale)
        scale = np.exp(grown - _soft_limit(grown, _NECK_SWELLS))
        body: Array = (scale - 1) * (self.points - self.pivot) + share * shift
        return body.astype(np.float32)


def build_hair_body_mesh(face: Array, layers: PortraitLayers, first: int) -> HairBodyMesh:
    """Hang a mesh on ``face`` [478, 3] where ``layers`` show the person; its own points are numbered from ``first``."""
    outline = face[FACE_MESH.oval]
    height = float(np.linalg.norm(face[FACE_MESH.chin, :2] - face[FACE_MESH.forehead, :2]))
    flat = np.concatenate([_grid_vertices(outline[:, :2]), outline[:, :2]])
    distance = _pairwise_distances(flat, outline[:, :2])
    nearest = distance.min(axis=1)
    share = np.exp(-(((distance - nearest[:, None]) / (_SPREAD * height)) ** 2))
    share /= share.sum(axis=1, keepdims=True)
    depth = share @ outline[:, 2] + np.minimum(_SLOPE * nearest, _DEEPEST * height)
    points = np.column_stack([flat, depth]).astype(np.float32)
    fading = np.exp(-((nearest / (_REACH * height)) ** 2))[:, None]
    triangles = _delaunay_triangles(flat[: -len(outline)], outline[:, :2], first)
    return HairBodyMesh(
        points=points,
        triangles=triangles[_touches_person(_triangle_corners(triangles, face, points, first), layers)],
        head=_head_weights(flat, face, height) * _proximity_weights(nearest / height),
        bend=(fading * share).astype(np.float32),
        pivot=_neck_pivot(face, height),
        height=height,
        free=_edge_freedom(flat, layers),
    )


def _grid_vertices(outline: Array) -> Array:
    """Return a grid [M, 2] over the picture and a margin, without what lies on the face."""
    line = np.arange(-_EXTENT, _EXTENT + _SPACING / 2, _SPACING, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    contour = np.ascontiguousarray(outline)
    outside = [cv2.pointPolygonTest(contour, (float(x), float(y)), True) < -_CLEARANCE for x, y in grid]
    vertices: Array = grid[np.array(outside)]
    return vertices


def _pairwise_distances(points: Array, others: Array) -> Array:
    distances: Array = np.linalg.norm(points[:, None] - others[None], axis=-1)
    return distances


def _head_weights(points: Array, face: Array, height: float) -> Array:
    """Return weights [M] in [0, 1]: 1 beside and above the face, falling to 0 from the chin down."""
    down = (face[FACE_MESH.chin, :2] - face[FACE_MESH.forehead, :2]) / height
    below = (points - face[FACE_MESH.chin, :2]) @ down / height
    weight: Array = (1 - smoothstep(below, _NECK_TOP, _NECK_BOTTOM)).astype(np.float32)
    return weight


def _soft_limit(x: float, limit: float) -> float:
    """Return ``x`` while it is small, and never more than ``limit``."""
    return float(limit * np.tanh(x / limit))


def _neck_pivot(face: Array, height: float) -> Array:
    """Return about where a head turns: below and behind the middle of the face [478, 3]."""
    middle = (face[FACE_MESH.forehead] + face[FACE_MESH.chin]) / 2
    down = (face[FACE_MESH.chin, :2] - face[FACE_MESH.forehead, :2]) / height
    pivot: Array = np.append(middle[:2] + _JOINT[0] * height * down, middle[2] + _JOINT[1] * height).astype(np.float32)
    return pivot


def _proximity_weights(distance: Array) -> Array:
    """Return weights [M] in [0, 1] that fall with the distance: far from the face there is hardly hair.

    This holds whatever the segmentation says.
    """
    weight: Array = (1 - smoothstep(distance, *_HAIR_ENDS)).astype(np.float32)
    return weight


def _edge_freedom(points: Array, layers: PortraitLayers) -> Array:
    """Return [2, M, 2]: 0 at the photo's ends where they cut the person off, 1 some way inside and where they do not.

    There is nothing beyond the ends to move in, so hair or shoulders that are cut off there stretch instead of coming
    off.
    """
    x = np.clip(np.stack([points - layers.ends[0], layers.ends[1] - points]) / _EDGE_HOLD, 0, 1)
    for end in (0, 1):
        for axis in (0, 1):
            cut = _person_along_edge(layers, end, axis)
            along = ((points[:, 1 - axis] + 1) * layers.side - 1) / 2 + layers.border
            x[end, :, axis] = 1 - (1 - x[end, :, axis]) * np.interp(along, np.arange(len(cut)), cut)
    free: Array = smoothstep(x).astype(np.float32)
    return free


def _person_along_edge(layers: PortraitLayers, end: int, axis: int) -> Array:
    """Return the share of person along the photo's first or last column or row, smoothed.

    ``end`` chooses the first or the last, ``axis`` 0 or 1 column or row.
    """
    whole = layers.alpha.shape[0]
    place = ((layers.ends[end, axis] + 1) * layers.side - 1) / 2 + layers.border
    line = int(np.clip(round(float(place)) + (2 if end == 0 else -2), 0, whole - 1))
    cut = np.ascontiguousarray((layers.alpha[line] if axis == 1 else layers.alpha[:, line])[:, None], np.float32) / 255
    reach = 2 * (layers.side // 20) + 1
    wide = cv2.dilate(cut, np.ones((reach, 1), np.uint8))
    return np.asarray(cv2.blur(wide, (1, reach)), np.float32)[:, 0]


def _delaunay_triangles(points: Array, outline: Array, first: int) -> Indices:
    """Return Delaunay triangles over the outline and ``points``, without the inside of the outline."""
    everything = np.concatenate([outline, points]).astype(np.float32)
    names = np.concatenate([FACE_MESH.oval, first + np.arange(len(points))]).astype(np.int32)
    reach = int(np.abs(everything).max()) + 2
    plane = cv2.Subdiv2D((-reach, -reach, 2 * reach, 2 * reach))
    for x, y in everything:
        plane.insert((float(x), float(y)))
    corners = np.asarray(plane.getTriangleList(), np.float32).reshape(-1, 3, 2)
    inside = (np.abs(corners) <= np.abs(everything).max() + 1e-4).all(axis=(1, 2))  # not at the plane's own corners
    index = _pairwise_distances(corners[inside].reshape(-1, 2), everything).argmin(axis=1).reshape(-1, 3)
    contour = np.ascontiguousarray(outline)
    centres = corners[inside].mean(axis=1)
    outside = [cv2.pointPolygonTest(contour, (float(x), float(y)), False) < 0 for x, y in centres]
    triangles: Indices = names[index[np.array(outside)]]
    return triangles


def _triangle_corners(triangles: Indices, face: Array, points: Array, first: int) -> Array:
    """Return the corners [T, 3, 2] of ``triangles`` over ``face`` and, from ``first``, over ``points``."""
    everything = np.zeros((first + len(points), 2), np.float32)
    everything[: len(face)], everything[first:] = face[:, :2], points[:, :2]
    corners: Array = everything[triangles]
    return corners


def _touches_person(corners: Array, layers: PortraitLayers) -> npt.NDArray[np.bool_]:
    """Tell which of the triangles [T, 3, 2] touch the person."""
    pixels = ((corners + 1) * layers.side - 1) / 2 + layers.border
    last = layers.matte.shape[0] - 1
    low = np.clip(np.floor(pixels.min(axis=1)).astype(int), 0, last)
    high = np.clip(np.ceil(pixels.max(axis=1)).astype(int), 0, last) + 1
    boxes = zip(low, high, strict=True)
    return np.array([bool(layers.matte[y0:y1, x0:x1].any()) for (x0, y0), (x1, y1) in boxes])
