"""The performer's face in the camera's picture, and the torso below it, drive the avatar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.motion.smoothing import KeypointSmoother, SmoothingParameters
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.face_occlusion import HiddenPartMarker
from livehead.perception.torso_tracker import TorsoTracker

_LOST_FACE_NS = 2_000_000_000  # a performer who was away for longer sits elsewhere, or is somebody else


class FaceDriver(BaseDriver):
    """Tracks the largest face and keeps to its person: a ``Driver`` of ``mesh478`` with a torso, for one thread."""

    def __init__(self, smoothing: SmoothingParameters | None = None) -> None:
        self._mesh = FaceMeshTracker()
        self._torso = TorsoTracker()
        self._hidden_parts = HiddenPartMarker()
        self._last_seen_ns = 0
        self._smoother = KeypointSmoother(smoothing)
        nothing = np.zeros((1, 478, 2), np.float32)
        self._last = Keypoints(MESH478, nothing, nothing[..., 0], None, np.zeros(1, np.float32), 0)

    @property
    def motion_set(self) -> str:
        """The set ``mesh478``: the face mesh with irises."""
        return MESH478

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Estimate the face at ``inputs.frame``, in the coordinates of the frame's square.

        Confidence is 0 while no face is seen; the value is then the last good one, zeros before the first.
        """
        frame = inputs.frame
        if frame is None:
            return self._last
        image = frame.image[..., :3]
        faces = self._mesh.detect(image, frame.captured_ns)
        if faces:
            self._forget_other_person(faces[0])
            self._last_seen_ns = frame.captured_ns
            now = replace(faces[0], torso=self._torso.track(image, faces[0]))
            now = self._hidden_parts.mark(image, now)
        else:
            now = replace(
                self._last,
                confidence=np.zeros(1, np.float32),
                captured_ns=frame.captured_ns,
                sighting=self._mesh.sighting,
            )
        self._last = self._smoother.smooth(now)
        return self._last

    def choose_face_anew(self) -> None:
        """Follow whoever's face is the largest from the next frame on; callable from any thread."""
        self._mesh.reset()

    def _forget_other_person(self, face: Keypoints) -> None:
        """Start afresh where ``face`` is another person's than the last one, or may be."""
        last, now = self._last.sighting, face.sighting
        changed = last is not None and now is not None and last.performer != now.performer
        if changed:
            self._smoother.reset()
            self._hidden_parts.reset()
        if changed or face.captured_ns - self._last_seen_ns > _LOST_FACE_NS:
            self._torso.reset()

    def close(self) -> None:
        """Free the tracker."""
        self._mesh.close()
