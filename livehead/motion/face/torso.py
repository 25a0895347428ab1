"""The torso as three points that move with it: the base of the neck, the right and the left shoulder (the person's).

Three points of a plane are an affine map, so two moments of them tell how the torso moved in between: that is all they
are for. Where they first lie is a fixed rule, and they need not lie on the body to the pixel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livehead.motion.face.head import face_height
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array

# In heights of the face: the neck under the face's middle, the shoulders from the neck.
_NECK_DROP, _SHOULDER_OFFSET, _SHOULDER_DROP = 1.0, 1.0, 0.5


def rest_torso_points(points: npt.ArrayLike) -> Array:
    """Put the torso's points [3, 2] under a mesh [478, 2 or 3], in its unit; an upright torso is assumed."""
    height = face_height(points)
    middle = np.asarray(points, np.float32)[FACE_MESH.oval, :2].mean(axis=0)
    offsets = np.array(
        [
            [0, _NECK_DROP],
            [-_SHOULDER_OFFSET, _NECK_DROP + _SHOULDER_DROP],
            [_SHOULDER_OFFSET, _NECK_DROP + _SHOULDER_DROP],
        ],
        np.float32,
    )
    return np.asarray(middle + np.float32(height) * offsets, np.float32)
