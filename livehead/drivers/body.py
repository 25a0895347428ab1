"""The performer's whole body in the camera's picture drives the avatar."""

from __future__ import annotations

import numpy as np

from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.body import BODY25, BODY25_POINTS, BODY_SMOOTHING, BodyPose, BodyPoseSmoother
from livehead.motion.smoothing import SmoothingParameters
from livehead.perception.mediapipe_pose import BodyPoseTracker


class BodyDriver(BaseDriver):
    """Tracks one person and smooths the motion. It is a ``Driver`` of ``body25`` for one thread."""

    def __init__(self, smoothing: SmoothingParameters = BODY_SMOOTHING) -> None:
        self._tracker = BodyPoseTracker()
        self._smoother = BodyPoseSmoother(smoothing)
        self._last = _empty_pose()

    @property
    def motion_set(self) -> str:
        """The set ``body25``: OpenPose's 25 parts."""
        return BODY25

    def estimate(self, inputs: DriverInputs) -> BodyPose:
        """Estimate the body at ``inputs.frame``, in the coordinates of the frame's square.

        All confidences are 0 while nobody is seen; the value is then the last good one, zeros before the first.
        """
        frame = inputs.frame
        if frame is None:
            return self._last
        found = self._tracker.detect(frame.image, frame.captured_ns)
        self._last = self._smoother.smooth(self._last.as_unseen(frame.captured_ns) if found is None else found)
        return self._last

    def close(self) -> None:
        """Free the tracker."""
        self._tracker.close()


def _empty_pose() -> BodyPose:
    nothing = np.zeros((1, BODY25_POINTS, 2), np.float32)
    return BodyPose(BODY25, nothing, nothing[..., 0], nothing[..., 0], 0)
