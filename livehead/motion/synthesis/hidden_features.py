"""The stand-in for lips and eyes that the camera cannot see: those of idle motion, or of a voice, on the live head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.motion.face.face_weights import mouth_weights
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints

_POINT_COUNT = 478


class HiddenFeatures:
    """Puts the mouth or the eyes of another motion into a face, which keeps its head, its brows and all the rest."""

    def __init__(self, source: Keypoints) -> None:
        """Take the avatar's own motion ``source``: ``mesh478`` with depth."""
        self._rest = source.points3d()[0]
        self._mouth_weights = mouth_weights(self._rest)
        self._eye_weights = np.zeros(_POINT_COUNT, np.float32)
        for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
            self._eye_weights[eye.lids] = self._eye_weights[eye.iris] = 1

    def replace_hidden(self, live: Keypoints, stand_in: Keypoints) -> Keypoints:
        """Return ``live`` with so much of the stand-in's mouth and eyes as its ``sighting`` says is hidden."""
        if live.sighting is None:
            return live
        lips, eyes = live.sighting.lips_hidden, live.sighting.eyes_hidden
        shares = np.clip(lips * self._mouth_weights + eyes * self._eye_weights, 0, 1).astype(np.float32)
        own, other = self._unpose(live), self._unpose(stand_in)
        head = fit_head_motion(self._rest, live.points3d()[0])
        points = head.apply(own + shares[:, None] * (other - own))
        # Points that are not hidden stay where they are, to the last bit.
        points = np.where(shares[:, None] > 0, points, live.points3d()[0])
        return replace(live, value=points[None, :, :2].copy(), depth=points[None, :, 2].copy())

    def _unpose(self, motion: Keypoints) -> Array:
        """Return the face of ``motion`` [478, 3] with its head as it is at rest."""
        points = motion.points3d()[0]
        return fit_head_motion(self._rest, points).inverse().apply(points)


def is_partly_hidden(motion: Keypoints) -> bool:
    """Tell whether something is before lips or eyes of ``motion``."""
    return motion.sighting is not None and max(motion.sighting.lips_hidden, motion.sighting.eyes_hidden) > 0
