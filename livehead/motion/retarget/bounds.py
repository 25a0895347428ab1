"""Bounds within which the avatar's head stays whole and in its picture, whatever is measured on the performer.

What talking people do lies below the knee of each bound, and passes unchanged. What lies beyond is somebody else's face
measured against the wrong neutral, or a tracker's error: it is held back softly.
"""

from __future__ import annotations

import math

import numpy as np

from livehead.motion.face.head import face_height
from livehead.motion.keypoints import Array, Keypoints

_KNEE = 0.6  # share of a limit up to which nothing is held back
_SHIFT_KNEE = 0.75  # the same for the way of the head through its crop
_HAIR_BESIDE, _HAIR_ABOVE = 0.25, 0.3  # of the face's width and height: what belongs to a head around its mesh
_MIN_ROOM = 0.1  # heights of the face that a head may always go, even out of a crop that it fills
_MAX_DISPLACEMENT = 0.3  # heights of the face from neutral; 0.12 in 999 of 1000 frames of talking people
_MAX_COMMON_SHIFT, _MAX_OWN_SHIFT = 0.6, 0.4  # of learned points, in the unit of key points


def soft_limit(value: float, limit: float, knee_share: float = _KNEE) -> float:
    """Return ``value`` as it is up to a knee, then softly held within ``limit``."""
    knee = knee_share * limit
    beyond = abs(value) - knee
    if beyond <= 0:
        return value
    return math.copysign(knee + (limit - knee) * math.tanh(beyond / (limit - knee)), value)


def soft_limit_lengths(vectors: Array, limit: float) -> Array:
    """Return ``vectors`` [..., D] as they are up to a knee, then with their lengths softly held within ``limit``."""
    knee = _KNEE * limit
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (lengths > knee).any():
        return vectors
    held = knee + (limit - knee) * np.tanh(np.maximum(lengths - knee, 0) / (limit - knee))
    return np.asarray(np.where(lengths > knee, vectors * (held / np.maximum(lengths, 1e-9)), vectors), np.float32)


class HeadBounds:
    """How far the head of a mesh ``rest`` [478, 3] may go in its crop, and a point of its face from its place."""

    def __init__(self, rest: Array, pivot: Array) -> None:
        """Take the head's ``pivot`` [3], about which it grows."""
        low, high = rest[:468, :2].min(axis=0), rest[:468, :2].max(axis=0)
        self._pivot = pivot[:2]
        self._height = face_height(rest)
        beside, above = _HAIR_BESIDE * (high[0] - low[0]), _HAIR_ABOVE * self._height
        # To the chin only: below it are neck and shoulders, which leave the crop anyway.
        self._outline = np.stack([low - [beside, above], high + [beside, 0]])

    def hold_shift(self, shift: Array, scale: float) -> Array:
        """Return ``shift`` [3] of the head, flat and such that a head ``scale`` times as large stays in the crop."""
        edges = self._pivot + scale * (self._outline - self._pivot)
        room = np.maximum(np.stack([edges[0] + 1, 1 - edges[1]]), _MIN_ROOM * self._height)
        held = [soft_limit(float(shift[axis]), float(room[int(shift[axis] > 0), axis]), _SHIFT_KNEE) for axis in (0, 1)]
        return np.array([*held, 0], np.float32)

    def hold_displacements(self, change: Array) -> Array:
        """Return the displacements ``change`` [..., D] of points of the face from their places, held back."""
        return soft_limit_lengths(change, _MAX_DISPLACEMENT * self._height)

    def hold_gaps(self, gaps: Array) -> Array:
        """Return gaps of the lips [N], held back as displacements are."""
        return soft_limit_lengths(gaps[:, None], _MAX_DISPLACEMENT * self._height)[:, 0]


def hold_learned_points(moved: Keypoints, source: Keypoints) -> Keypoints:
    """Return learned points ``moved`` from ``source``, neither all together nor each by itself further than a head."""
    change = moved.value - source.value
    common = change.mean(axis=1, keepdims=True)
    own = soft_limit_lengths(change - common, _MAX_OWN_SHIFT)
    return moved.with_points(source.value + soft_limit_lengths(common, _MAX_COMMON_SHIFT) + own)
