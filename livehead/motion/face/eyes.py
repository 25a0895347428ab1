"""Eyelids and gaze of the face mesh, as ratios that carry over between people with different eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livehead.motion.face.face_weights import propagation_weights
from livehead.motion.face.mesh import EyeIndices
from livehead.motion.keypoints import Array

_SHUT_RATIO = 0.33  # MediaPipe's aperture of a shut eye over that of the same eye open, at most
_MIN_NEUTRAL_APERTURE = 0.1  # no open eye has less: such a neutral was taken during a blink
_LID_MEETING_POINT = 0.2  # where the lids meet, from the lower lid (0) to the upper (1)
_MAX_OPENING = 1.35  # lids cannot open further, times their rest


@dataclass(frozen=True, slots=True)
class GazeOffset:
    """The place of an iris between the corners of its eye: to the ``right`` and ``down``, in widths of the eye."""

    right: float
    down: float


def eye_aperture(points: Array, eye: EyeIndices) -> float:
    """Mean distance of the lids of mesh ``points`` [478, 3] over the eye's width; about 0.2 open, 0.03 shut."""
    width = np.linalg.norm(points[eye.upper[0]] - points[eye.upper[-1]])
    apart = np.linalg.norm(points[eye.upper[1:-1], :2] - points[eye.lower[1:-1], :2], axis=1).mean()
    return float(apart / max(width, 1e-6))


def eye_opening(now: float, neutral: float) -> float:
    """How far an eye of aperture ``now`` is open: 0 shut, 1 as in ``neutral``, more when it is torn open.

    Below the aperture that the tracker gives to shut eyes the answer is exactly 0, whatever the eye's shape.
    """
    ratio = now / max(neutral, _MIN_NEUTRAL_APERTURE)
    if ratio >= 1:
        return min(ratio, _MAX_OPENING)
    # Slightly convex: small changes about the neutral are mostly noise and glances, large ones are blinks.
    return 1 - float(np.clip((1 - ratio) / (1 - _SHUT_RATIO), 0, 1) ** 1.25)


def estimate_gaze(points: Array, eye: EyeIndices) -> GazeOffset:
    """Estimate where the eye of mesh ``points`` [478, 3] looks, in the head's own frame if the points are."""
    origin, across, down = _eye_axes(points, eye)
    offset = points[eye.iris[0]] - origin
    width = float(np.linalg.norm(across))
    return GazeOffset(
        float(offset[:2] @ across[:2]) / max(float(across[:2] @ across[:2]), 1e-9), float(offset @ down) / width
    )


class EyeDeformer:
    """One eye of a mesh at rest, and how its points move when the lids close or the iris turns."""

    def __init__(self, rest: Array, eye: EyeIndices) -> None:
        """Take the mesh ``rest`` [478, 3] of the source."""
        self.eye = eye
        self.rest_gaze = estimate_gaze(rest, eye)
        upper, lower = eye.upper[1:-1], eye.lower[1:-1]
        self._lids = np.concatenate([upper, lower])
        meet = rest[lower] + _LID_MEETING_POINT * (rest[upper] - rest[lower])
        self._lid_travel = rest[self._lids] - np.concatenate([meet, meet])
        _, self._across, self._down = _eye_axes(rest, eye)
        self._width = float(np.linalg.norm(self._across))
        self._skin = np.setdiff1d(eye.lids, eye.opening)
        self._skin_weights = propagation_weights(rest, self._lids, self._skin, 0.22 * self._width)

    def set_lids_and_gaze(self, points: Array, opening: float, gaze: GazeOffset) -> None:
        """Sets lids and iris of ``points`` [478, 3], in place; the mesh is otherwise posed as ``rest`` was.

        ``opening`` is in units of the rest's, 0 lets the lids meet; ``gaze`` is where the iris shall lie.
        """
        closing = np.float32(opening - 1) * self._lid_travel
        points[self._lids] += closing
        points[self._skin] += self._skin_weights @ closing
        shift = (gaze.right - self.rest_gaze.right) * self._across
        shift = shift + (gaze.down - self.rest_gaze.down) * self._width * self._down
        points[self.eye.iris] += shift.astype(np.float32)


def _eye_axes(points: Array, eye: EyeIndices) -> tuple[Array, Array, Array]:
    """Middle between the corners, the way across to the picture's right corner, and the unit vector down."""
    first, last = points[eye.upper[0]], points[eye.upper[-1]]
    # The right eye's outer corner is on the left of the picture, the left eye's on the right.
    across = last - first if eye.iris[0] == 468 else first - last
    down = np.array([-across[1], across[0], 0], np.float32) / max(float(np.hypot(across[0], across[1])), 1e-9)
    return (first + last) / 2, across, down.astype(np.float32)
