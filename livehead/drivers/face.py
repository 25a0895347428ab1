"""The performer's face in the camera's picture drives the avatar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.interfaces import Inputs
from livehead.motion.filters import Smoother, Smoothing
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.perception.face_mesh import FaceMesh


class FaceDriver:
    """Tracks the largest face and keeps to it. A ``Driver`` of ``mesh478``, for one thread."""

    def __init__(self, smoothing: Smoothing | None = None) -> None:
        self._mesh = FaceMesh()
        self._smoother = Smoother(smoothing)
        nothing = np.zeros((1, 478, 2), np.float32)
        self._last = Keypoints(MESH478, nothing, nothing[..., 0], None, np.zeros(1, np.float32), 0)

    @property
    def motion_set(self) -> str:
        """The face mesh with irises."""
        return MESH478

    def estimate(self, inputs: Inputs) -> Keypoints:
        """The face at ``inputs.frame``, in the coordinates of the frame's square.

        Confidence is 0 while no face is seen; the value is then the last good one, zeros before the first.
        """
        frame = inputs.frame
        if frame is None:
            return self._last
        faces = self._mesh.detect(frame.image[..., :3], frame.captured_ns)
        unseen = replace(self._last, confidence=np.zeros(1, np.float32), captured_ns=frame.captured_ns)
        self._last = self._smoother(faces[0] if faces else unseen)
        return self._last

    def reset(self) -> None:
        """Forget whom it followed."""
        self._mesh.reset()
        self._smoother.reset()

    def close(self) -> None:
        """Free the tracker."""
        self._mesh.close()
