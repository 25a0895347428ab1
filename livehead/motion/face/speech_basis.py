"""Speech as a linear basis of displacements of a face, and one face that is moved by it.

Displacements are in the frame of the mean face (``assets/face_mean.npz``), of a head of its size that looks ahead, and
count from a mouth whose lips touch. The first coefficient is the mean distance of the inner lips in the same unit; the
others leave that distance as it is.
"""

from __future__ import annotations

import numpy as np

from livehead.motion.face.face_weights import brow_weights, mouth_weights
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.lips import LipDeformer, lip_gaps, lip_thickness, mouth_width, scale_lip_thickness
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import Array

_BROW_FACTOR = 0.6  # share of what brows do that is speech's to move


def speech_weights() -> Array:
    """Return how far each point [478] takes part in speech: mouth, jaw and cheeks, and a little the brows."""
    return np.maximum(mouth_weights(load_mean_face()), _BROW_FACTOR * brow_weights(load_mean_face()))


class SpeechFace:
    """One face at rest, with closed lips, which coefficients of speech deform."""

    def __init__(self, rest: Array, basis: Array) -> None:
        """Take the mesh ``rest`` [478, 3] in the unit of key points and the ``basis`` [K, 478, 3] of displacements."""
        mean = load_mean_face()
        to_face = fit_head_motion(mean, rest)
        self._lips = LipDeformer(rest)
        self._closed_mesh = self._lips.closed
        ratio = mouth_width(rest) / max(to_face.scale * mouth_width(mean), 1e-6)
        # A narrow mouth opens less far, but not in proportion: jaws are alike.
        scale = to_face.scale * float(np.clip(ratio, 0.85, 1.15))
        self._basis = (scale * basis @ to_face.rotation.T).astype(np.float32)
        own = lip_thickness(self._closed_mesh) / max(scale, 1e-9)
        self._thickness_factors = np.clip(own / np.maximum(lip_thickness(LipDeformer(mean).closed), 1e-6), 0.2, 1.2)

    def deform(self, coefficients: Array) -> Array:
        """Return the face [478, 3] for coefficients [K]; all 0 are closed lips. Eyes and head stay at rest."""
        change = np.tensordot(coefficients.astype(np.float32), self._basis, axes=1)
        scale_lip_thickness(change, self._thickness_factors)
        points: Array = self._closed_mesh + change
        self._lips.open_lips(points, lip_gaps(points))
        return points
