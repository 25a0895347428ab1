"""Smooth weights that tell which points of a mesh mouth and brows move, and the point about which its head turns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from livehead.motion.easing import smoothstep
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array

_IndexArray: TypeAlias = npt.NDArray[np.integer[Any]]

_EYE_CORNERS = [33, 133, 362, 263]


def mouth_weights(rest: Array) -> Array:
    """Return how far each point [478] of mesh ``rest`` [478, 3] takes part in what mouth and jaw do.

    The weights fade out towards the skull, where residual motion is the tracker's error; lids and irises move by
    themselves.
    """
    height = _height_below_nose(rest)
    eye_line = float(height[_EYE_CORNERS].mean())
    share = smoothstep((height - eye_line) / max(-eye_line, 1e-6), 0.2, 0.8)
    return _suppress_eyes(share, lid_factor=0.5)


def brow_weights(rest: Array) -> Array:
    """Return how far each point [478] of mesh ``rest`` [478, 3] takes part in what the brows do."""
    height = _height_below_nose(rest)
    above = float(height[_EYE_CORNERS].mean()) - height
    return _suppress_eyes(smoothstep(above, 0.02, 0.08) * (1 - smoothstep(above, 0.22, 0.4)), lid_factor=1.0)


def head_pivot(points: Array) -> Array:
    """The point [3] about which the head of mesh ``points`` [478, 3] turns, behind the face and between the ears."""
    across = points[FACE_MESH.left_eye.upper[0]] - points[FACE_MESH.right_eye.upper[0]]
    inwards = np.cross(across, points[FACE_MESH.chin] - points[FACE_MESH.forehead])
    inwards /= max(float(np.linalg.norm(inwards)), 1e-9)
    middle = points[FACE_MESH.rigid].mean(axis=0) + 0.6 * float(np.linalg.norm(across)) * inwards
    return np.asarray(middle, np.float32)


def propagation_weights(
    rest: Array, movers: _IndexArray, skin: _IndexArray, falloff_radius: float, rigid_radius: float = 0.0
) -> Array:
    """Return how much of each mover's displacement its surrounding skin takes on: [skin, movers].

    It fades over ``falloff_radius``; within ``rigid_radius`` of the movers the skin moves as they do.
    """
    apart = np.linalg.norm(rest[skin][:, None] - rest[movers][None], axis=2)
    weights = np.exp(-((apart / (0.6 * falloff_radius)) ** 2) / 2) + 1e-12
    nearest = np.maximum(apart.min(axis=1) - rigid_radius, 0)
    fade = np.exp(-((nearest / falloff_radius) ** 2) / 2)
    shares = fade[:, None] * weights / weights.sum(axis=1, keepdims=True)
    shares[shares < 1e-4] = 0
    return np.asarray(shares, np.float32)


def _height_below_nose(rest: Array) -> Array:
    """Return each point's height [478] below the tip of the nose over the face's length; about 0.45 at the chin."""
    upright = rest[FACE_MESH.chin, :2] - rest[FACE_MESH.forehead, :2]
    return np.asarray(
        (rest[:, :2] - rest[FACE_MESH.nose, :2]) @ upright / max(float(upright @ upright), 1e-9), np.float32
    )


def _suppress_eyes(weights: Array, lid_factor: float) -> Array:
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        weights[eye.lids] *= lid_factor
        weights[eye.opening] = 0
        weights[eye.iris] = 0
    return weights
