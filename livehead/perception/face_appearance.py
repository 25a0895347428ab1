"""What a face looks like, as a few numbers by which its person is told from others, without any network of its own.

A small upright patch between brows and chin is compared by normalised cross-correlation, which light of another
strength does not change. On clips of 52 talking people, two pictures of one person correlate by 0.68 or more in 99 of
100 cases; those of two persons by 0.48 in the median, and by less than 0.73 in nine of ten.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array

_PATCH_SIDE = 16  # pixels of the patch that is compared
_OVERSAMPLING = 3  # samples a pixel in each direction, so that the noise of a large face is averaged
_EYES_AND_MOUTH = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.75]], np.float32)  # in sides of the patch
_MAX_MEMORIES = 6  # looks of one person that are remembered: turned, smiling, speaking
_NEW_LOOK = 0.85  # a look that is less like all the others is remembered too


def eyes_and_mouth(points: Array) -> Array:
    """Return the middles of right eye, left eye and mouth [3, 2] of a mesh [478, 2 or 3], in the unit of its points."""
    right, left = FACE_MESH.right_eye.upper[[0, -1]], FACE_MESH.left_eye.upper[[0, -1]]
    pairs = (right, left, FACE_MESH.mouth.upper[[0, -1]])
    return np.asarray(np.stack([points[pair, :2].mean(axis=0) for pair in pairs]), np.float32)


def describe_face(image: Image, landmarks: Array) -> Array:
    """Return the descriptor, a unit vector, of the face whose eyes and mouth [3, 2] lie at pixels ``landmarks``."""
    side = _PATCH_SIDE * _OVERSAMPLING
    targets = _EYES_AND_MOUTH * side
    matrix: npt.NDArray[Any] | None = cv2.estimateAffinePartial2D(landmarks, targets, method=cv2.LMEDS)[0]
    if matrix is None:
        return np.zeros(3 * _PATCH_SIDE**2, np.float32)
    patch = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(patch, (_PATCH_SIDE, _PATCH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small.ravel() / max(float(np.linalg.norm(small)), 1e-6), np.float32)


class FaceMemory:
    """Some looks of one person, to tell later whether a face is that person's."""

    def __init__(self, look: Array) -> None:
        """Start with ``look``, a descriptor of ``describe_face``."""
        self._looks = [look]

    def similarity(self, look: Array) -> float:
        """Return how much ``look`` is like the person at best: 1 the same, about 0 nothing in common."""
        return max(float(each @ look) for each in self._looks)

    def remember(self, look: Array) -> None:
        """Add ``look`` of the same person where it is new; the oldest but the first gives way."""
        if self.similarity(look) < _NEW_LOOK:
            if len(self._looks) == _MAX_MEMORIES:
                del self._looks[1]
            self._looks.append(look)
