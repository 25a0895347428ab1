"""The pose of a body: the motion of every body driver, and the people found in a picture.

Coordinates are those of ``livehead.motion.keypoints``. Points are named as OpenPose names them (``BODY_25``: right and
left are the person's).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.smoothing import KeypointSmoother, SmoothingParameters

BODY25 = "body25"
"""OpenPose's 25 parts, ``models.openpose.skeletons.BODY_25``."""

BODY25_POINTS = 25

BODY_SMOOTHING = SmoothingParameters(cutoff=1.5, beta=20.0, neighbourhood=0.02)
"""How bodies are smoothed: their points move each for itself, more than those of a face do."""


@dataclass(frozen=True, slots=True, eq=False)
class BodyPose:
    """The pose of one or several bodies at one moment; ``set`` names its points.

    ``value`` [B, K, 2] holds x, y in [-1, 1]; ``depth`` [B, K] is in the same unit, grows away from the camera and is 0
    at the middle of the hips.

    ``confidence`` [B, K] in [0, 1] is each point's: 0 = not seen, its value is then a guess or the last good one. All
    arrays are float32.
    """

    set: str
    value: Array
    depth: Array | None
    confidence: Array
    captured_ns: int

    def __post_init__(self) -> None:
        b, k = self.value.shape[:2]
        expected = {"value": (b, k, 2), "depth": (b, k), "confidence": (b, k)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != np.float32):
                raise ValueError(f"{name} of {self.set} is float32 {shape}, got {array.dtype} {array.shape}")

    @property
    def seen(self) -> bool:
        """True if any point of any body was seen."""
        return bool((self.confidence > 0).any())

    def as_unseen(self, captured_ns: int) -> BodyPose:
        """Return the pose at another moment, with its points where they are and none of them seen."""
        return replace(self, confidence=np.zeros_like(self.confidence), captured_ns=captured_ns)


class BodyPoseSmoother:
    """Smooths one stream of ``BodyPose`` as ``KeypointSmoother`` does key points; confidences pass unchanged."""

    def __init__(self, smoothing: SmoothingParameters = BODY_SMOOTHING) -> None:
        self._smoother = KeypointSmoother(smoothing)

    def reset(self) -> None:
        """Forget the past; the next pose passes unchanged."""
        self._smoother.reset()

    def smooth(self, pose: BodyPose) -> BodyPose:
        """Return ``pose`` where it is in all likelihood. An unseen one passes unchanged and ends what was before."""
        sure = pose.confidence.max(axis=1)
        moved = self._smoother.smooth(Keypoints(pose.set, pose.value, pose.depth, None, sure, pose.captured_ns))
        return replace(pose, value=moved.value, depth=moved.depth)


def _empty_points(points: int = 0) -> Array:
    return np.zeros((points, 3), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PersonKeypoints:
    """One person in a picture: ``pose`` [K, 3] (x, y in pixels, score; zeros where missing) of the skeleton ``set``.

    ``left_hand``, ``right_hand`` [21, 3] and ``face`` [70, 3] hold the same, without rows where they were not looked
    for. ``score`` tells how sure the whole person is.
    """

    set: str
    pose: Array
    score: float
    left_hand: Array = field(default_factory=_empty_points)
    right_hand: Array = field(default_factory=_empty_points)
    face: Array = field(default_factory=_empty_points)

    def rescale(self, scale: tuple[float, float]) -> PersonKeypoints:
        """Return the person in the picture scaled by ``scale`` (across, down), with pixel centres at integers."""
        return replace(
            self,
            pose=_rescale_points(self.pose, scale),
            left_hand=_rescale_points(self.left_hand, scale),
            right_hand=_rescale_points(self.right_hand, scale),
            face=_rescale_points(self.face, scale),
        )


def _rescale_points(points: Array, scale: tuple[float, float]) -> Array:
    if scale == (1.0, 1.0):
        return points
    factors = np.array(scale, np.float32)
    moved = (points[:, :2] + np.float32(0.5)) * factors - np.float32(0.5)
    there = points[:, 2:] > 0
    placed: Array = np.concatenate([np.where(there, moved, 0), points[:, 2:]], axis=1).astype(np.float32)
    return placed
