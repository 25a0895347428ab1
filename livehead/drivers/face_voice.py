"""The camera leads, and the voice takes over while there is no face to be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.drivers.face import FaceDriver
from livehead.drivers.voice import VoiceDriver
from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.keypoints import Keypoints

_CAMERA_TIMEOUT_NS = 150_000_000  # a camera that has given no frame for longer is off


class FaceVoiceDriver(BaseDriver):
    """A ``FaceDriver`` that listens as well; its motion is the face's, in the camera's coordinates.

    While no face is seen, confidence is 0, and the avatar takes the voice's ``unseen_motion`` (through
    ``VoiceFallback``) as its idle motion; its ``IdleBlend`` eases from one to the other and back.
    """

    def __init__(self, face: FaceDriver, voice: VoiceDriver) -> None:
        self._face = face
        self._voice = voice
        self._last_frame_ns: int | None = None  # when the newest frame came
        self._voice_motion: Keypoints | None = None

    @property
    def motion_set(self) -> str:
        """The set ``mesh478``: the face mesh with irises."""
        return self._face.motion_set

    has_unseen_motion = True

    def unseen_motion(self) -> Keypoints | None:
        """Return the motion by the voice alone for the newest inputs, in the avatar's own points; None before any came.

        Any thread may call this.
        """
        return self._voice_motion

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Estimate the face at ``inputs.frame``.

        Confidence is 0 when there is none in it, or when no frame came for a while.
        """
        self._voice_motion = self._voice.estimate(inputs)
        motion = self._face.estimate(inputs)
        if inputs.frame is not None:
            self._last_frame_ns = inputs.now_ns
            return motion
        if self._last_frame_ns is not None and inputs.now_ns - self._last_frame_ns <= _CAMERA_TIMEOUT_NS:
            return replace(motion, captured_ns=max(motion.captured_ns, inputs.now_ns))
        # what is shown is the voice now, so the time is that of the sound
        return replace(motion, confidence=np.zeros(1, np.float32), captured_ns=self._voice_motion.captured_ns)

    def choose_face_anew(self) -> None:
        """Follow whoever's face is the largest from the next frame on; callable from any thread."""
        self._face.choose_face_anew()

    def close(self) -> None:
        """Free the tracker."""
        self._face.close()
