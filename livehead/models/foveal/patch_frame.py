"""The small patches about mouth and eyes: where they lie in a picture, and the curves of the lips and lids in them.

A patch hangs on the skull, not on the lips: its origin is a point that the jaw does not move, its axes are those of the
face, its scale is the distance of the eyes' outer corners in space. So what is rigid with the skull (upper teeth, the
corners of the eyes) lies at the same place in the patches of all pictures of one person.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.face.head import measure_head_angles
from livehead.motion.face.mesh import FACE_MESH, EyeIndices
from livehead.motion.keypoints import Array

_NOSE_BASE = (2, 98, 327)  # the septum's foot and the outer edges of the nostrils
_NOSE_BRIDGE = 168
_LID_REACH = 0.16  # eye distances from a lid's edge to the end of the skin that moves with it
_MIN_EYE_DISTANCE = 1e-3  # in units of the picture's [-1, 1]
_MOUTH_DROP = 0.36  # eye distances from the foot of the nose to the middle of the patch of the mouth, wide open or not
_OPEN_SCALE = 0.2  # eye distances: an opening of this size counts as 1


@dataclass(frozen=True, slots=True)
class FovealPart:
    """A part of the face that has a patch: its name, the patch's size in pixels, and the share of the eye distance that
    is as wide as the patch."""

    name: str
    width: int
    height: int
    reach: float


MOUTH = FovealPart("mouth", 96, 80, 1.02)
RIGHT_EYE = FovealPart("right_eye", 48, 40, 0.56)
LEFT_EYE = FovealPart("left_eye", 48, 40, 0.56)
FOVEAL_PARTS = (MOUTH, RIGHT_EYE, LEFT_EYE)

CURVES = 4
"""The number of curves of a part, from above: outer and inner edge of the upper lip, inner and outer of the lower."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchFrame:
    """Where a patch lies in a picture, and what its part looks like there.

    ``matrix`` float32 [2, 3] carries patch pixels (x, y, 1) to the picture's [-1, 1]. ``curves`` float32 [4, W] are
    heights in patch pixels, one a column; ``corners`` [2] the columns of the mouth's or eye's ends. ``pupil`` [2] is
    the iris' middle in patch pixels (the mouth's: its middle). ``state`` [3]: opening, yaw and pitch, about 1 at most.
    """

    matrix: Array
    curves: Array
    corners: Array
    pupil: Array
    state: Array


def measure_patch_frame(points: Array, part: FovealPart) -> PatchFrame:
    """Measure the frame of ``part`` for a mesh ``points`` [478, 3] in [-1, 1] of the picture."""
    origin, across, down = _patch_axes(points, part)
    # columns of the matrix: one patch pixel to the right, one down, and the place of pixel (0, 0)
    linear = np.stack([across, down], axis=1)
    corner = origin - linear @ np.array([(part.width - 1) / 2, (part.height - 1) / 2])
    matrix = np.column_stack([linear, corner]).astype(np.float32)
    places = (points[:, :2] - corner) @ np.linalg.inv(linear).T
    loops = _mouth_loops(places) if part is MOUTH else _lid_loops(places, part)
    ends = loops[1][[0, -1], 0]
    columns = np.arange(part.width)
    curves = np.stack([np.interp(columns, np.maximum.accumulate(loop[:, 0]), loop[:, 1]) for loop in loops])
    pupil = places[FACE_MESH.mouth.inner].mean(axis=0) if part is MOUTH else places[_eye(part).iris[0]]
    opening = np.max(loops[2][:, 1] - loops[1][:, 1]) / part.width * part.reach / _OPEN_SCALE
    yaw, pitch, _ = measure_head_angles(points)
    state = np.array([opening, yaw / 45, pitch / 45], np.float32)
    curves, ends, pupil = (np.asarray(each, np.float32) for each in (curves, ends, pupil))
    return PatchFrame(matrix, curves, ends, pupil, state)


def cut_patch(picture: Image, frame: PatchFrame, part: FovealPart) -> Image:
    """Cut the patch uint8 [H, W, 3] out of a square ``picture`` [S, S, 3]; beyond its edge the edge is repeated."""
    matrix = _pixel_matrix(frame, picture.shape[0])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(picture, matrix, (part.width, part.height), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, np.uint8)


def _pixel_matrix(frame: PatchFrame, side: int) -> Array:
    """The matrix that carries patch pixels to pixels of a picture of ``side``."""
    matrix = frame.matrix * (side / 2)
    matrix[:, 2] += (side - 1) / 2
    return matrix


def _patch_axes(points: Array, part: FovealPart) -> tuple[Array, Array, Array]:
    """The patch's middle, and its steps of one pixel to the right and down, in the picture's [-1, 1]."""
    outer = points[FACE_MESH.left_eye.upper[0]] - points[FACE_MESH.right_eye.upper[0]]
    distance = max(float(np.linalg.norm(outer)), _MIN_EYE_DISTANCE)
    roll = outer[:2] / max(float(np.linalg.norm(outer[:2])), _MIN_EYE_DISTANCE)
    step = distance * part.reach / part.width
    across = roll * step
    down = np.array([-roll[1], roll[0]]) * step
    if part is not MOUTH:
        return points[_eye(part).upper[[0, -1]], :2].mean(axis=0), across, down
    base = points[list(_NOSE_BASE)].mean(axis=0)
    below = base - points[_NOSE_BRIDGE]
    below = below / max(float(np.linalg.norm(below)), _MIN_EYE_DISTANCE)
    return base[:2] + _MOUTH_DROP * distance * below[:2], across, down


def _eye(part: FovealPart) -> EyeIndices:
    return FACE_MESH.right_eye if part is RIGHT_EYE else FACE_MESH.left_eye


def _mouth_loops(places: Array) -> list[Array]:
    """The four edges of the lips from left to right, from above: outer, inner, inner, outer."""
    outer = FACE_MESH.mouth.outer
    half = len(outer) // 2
    above, below = outer[: half + 1], np.concatenate([outer[:1], outer[:half:-1], outer[half : half + 1]])
    return [places[above], places[FACE_MESH.mouth.upper], places[FACE_MESH.mouth.lower], places[below]]


def _lid_loops(places: Array, part: FovealPart) -> list[Array]:
    """The lids' edges from left to right, and the ends of the skin that moves with them."""
    eye = _eye(part)
    upper, lower = places[eye.upper], places[eye.lower]
    if part is LEFT_EYE:  # its tables run from the outer corner, which is on the right
        upper, lower = upper[::-1], lower[::-1]
    reach = _LID_REACH * part.width / part.reach
    return [upper - [0, reach], upper, lower, lower + [0, reach]]
