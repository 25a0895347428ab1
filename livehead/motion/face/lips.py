"""The lips of the face mesh: how far they are apart, and how their surroundings follow when that is changed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livehead.motion.face.face_weights import propagation_weights
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array

_UPPER_LIP = FACE_MESH.mouth.upper[1:-1]
_LOWER_LIP = FACE_MESH.mouth.lower[1:-1]
# From the inner edge of each lip to its outer edge, ring by ring; columns are the nine points between the corners.
_LIP_RINGS = np.array(
    [
        [[191, 80, 81, 82, 13, 312, 311, 310, 415], [95, 88, 178, 87, 14, 317, 402, 318, 324]],
        [[183, 42, 41, 38, 12, 268, 271, 272, 407], [96, 89, 179, 86, 15, 316, 403, 319, 325]],
        [[184, 74, 73, 72, 11, 302, 303, 304, 408], [77, 90, 180, 85, 16, 315, 404, 320, 307]],
        [[185, 40, 39, 37, 0, 267, 269, 270, 409], [146, 91, 181, 84, 17, 314, 405, 321, 375]],
    ]
)
_LOWER_LIP_SHARE = 0.65  # the lower lip's usual share of a change of the gap: it hangs on the jaw


def mouth_width(points: Array) -> float:
    """The distance of the corners of the mouth in mesh ``points`` [478, 3]."""
    return float(np.linalg.norm(points[FACE_MESH.mouth.upper[0]] - points[FACE_MESH.mouth.upper[-1]]))


def lip_gaps(points: Array) -> Array:
    """The distances [9] between the inner edges of the lips, down the face; 0 where they touch or cross."""
    apart = (points[_LOWER_LIP] - points[_UPPER_LIP]) @ _down_axis(points)
    return np.asarray(np.maximum(apart, 0), np.float32)


def lip_thickness(points: Array) -> Array:
    """The thickness [2, 9] of the upper and the lower lip of mesh ``points`` [478, 3]."""
    return np.asarray(np.linalg.norm(points[_LIP_RINGS[-1]] - points[_LIP_RINGS[0]], axis=-1), np.float32)


def scale_lip_thickness(change: Array, factors: Array) -> None:
    """Scale, in place, how much displacements ``change`` [478, 3] press the lips together or draw them out.

    ``factors`` [2, 9]: 1 leaves it; less keeps thin lips from being turned inside out by what thick ones can do.
    """
    inner = change[_LIP_RINGS[0]]
    change[_LIP_RINGS[1:]] = inner + factors[..., None] * (change[_LIP_RINGS[1:]] - inner)


class LipDeformer:
    """The mouth of a mesh at rest, and how the skin about it follows the lips."""

    def __init__(self, rest: Array) -> None:
        """Take the mesh ``rest`` [478, 3] of the source."""
        width = mouth_width(rest)
        edges = FACE_MESH.mouth.inner
        near = np.linalg.norm(rest[:468, None] - rest[None, edges], axis=2).min(axis=1) < width
        near[edges] = False
        below = _is_below_lips(rest)
        self._skin_above = np.flatnonzero(near & ~below)
        self._skin_below = np.flatnonzero(near & below)
        thickness = 0.17 * width
        # The corners stay where they are, and hold what is around them.
        self._upper_weights = propagation_weights(
            rest, FACE_MESH.mouth.upper, self._skin_above, 0.12 * width, thickness
        )[:, 1:-1]
        self._lower_weights = propagation_weights(
            rest, FACE_MESH.mouth.lower, self._skin_below, 0.35 * width, thickness
        )[:, 1:-1]
        self.closed = rest.copy()
        self.open_lips(self.closed, np.zeros(len(_UPPER_LIP), np.float32))

    def open_lips(self, points: Array, gaps: Array, lower_share: float = _LOWER_LIP_SHARE) -> None:
        """Move the lips of ``points`` [478, 3], in place, until they are ``gaps`` [9] apart; 0 lets them touch.

        ``lower_share`` of the way is the lower lip's. The skin follows. The lips never cross, whatever they did before.
        """
        down = _down_axis(points)
        apart = points[_LOWER_LIP] - points[_UPPER_LIP]
        along = apart @ down
        sideways = apart - along[:, None] * down
        # Lips that touch touch point by point; parted ones keep their own sideways offset.
        kept = np.clip(gaps / np.maximum(np.abs(along), 1e-6), 0, 1)[:, None]
        change = (gaps[:, None] * down + kept * sideways - apart).astype(np.float32)
        rise, fall = (lower_share - 1) * change, lower_share * change
        points[_UPPER_LIP] += rise
        points[_LOWER_LIP] += fall
        points[self._skin_above] += self._upper_weights @ rise
        points[self._skin_below] += self._lower_weights @ fall


def _is_below_lips(points: Array) -> npt.NDArray[np.bool_]:
    """Tell which points [468] lie below the line where the lips meet; in a smile its middle hangs below its ends."""
    down = _down_axis(points)
    across = np.array([down[1], -down[0], 0], np.float32)
    seam = (points[FACE_MESH.mouth.upper] + points[FACE_MESH.mouth.lower]) / 2
    at, height = seam @ across, seam @ down
    order = np.argsort(at)
    face = points[:468]
    return np.asarray(face @ down > np.interp(face @ across, at[order], height[order]))


def _down_axis(points: Array) -> Array:
    """The unit vector down the face in the picture: across the line of the eyes, for a pursed mouth has no line."""
    across = points[FACE_MESH.left_eye.upper[0]] - points[FACE_MESH.right_eye.upper[0]]
    length = max(float(np.hypot(across[0], across[1])), 1e-9)
    return np.array([-across[1] / length, across[0] / length, 0], np.float32)
