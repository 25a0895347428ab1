"""The performer's face at rest as far as one picture of it tells, so that a still can move an avatar.

Relative motion needs a neutral face, and a still shows only what the face does. The mean of many neutral faces stands
in for it: in the performer's proportions, at the place of the performer's head, and looking ahead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.errors import ConfigError
from livehead.motion.face.head import HeadMotion, fit_head_motion
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import MESH478, Array, Keypoints

_MAX_PROPORTION = 1.25  # of the performer's width, height and depth of the skull over the mean face's, and its inverse


def assume_neutral(still: Keypoints) -> Keypoints:
    """Return the face at rest of the performer whose face in one picture is ``still``, ``mesh478`` with depth.

    The torso is where it is, since nothing tells how far it has moved. Raises: ConfigError for other points.
    """
    if still.set != MESH478 or still.depth is None:
        raise ConfigError(f"a picture's face is {MESH478} points, not {still.set}", "give a picture of a face")
    points, mean = still.points3d()[0], load_mean_face()
    pose = fit_head_motion(mean, points)
    unturned = pose.inverse().apply(points)
    center = mean[FACE_MESH.rigid].mean(axis=0)
    sizes = [skull.std(axis=0) for skull in (unturned[FACE_MESH.rigid], mean[FACE_MESH.rigid])]
    proportions = np.clip(sizes[0] / np.maximum(sizes[1], 1e-6), 1 / _MAX_PROPORTION, _MAX_PROPORTION)
    rest: Array = (mean - center) * proportions
    place = points[FACE_MESH.rigid].mean(axis=0)
    placed = HeadMotion(pose.scale, np.eye(3, dtype=np.float32), place).apply(rest)
    return replace(still, value=placed[None, :, :2].copy(), depth=placed[None, :, 2].copy())
