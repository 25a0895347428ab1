"""Ultra-dense poses as motion: from files, or read off the pictures of a character."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from livehead.frames import Image
from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.dense_pose import DENSE_POSE, DensePose
from livehead.perception.dense_pose import DensePoseSequence
from livehead.perception.dense_pose_detector import DensePoseDetector
from livehead.perception.figure_framing import CONR_SIDE, premultiply_alpha, resize_square, square_window
from livehead.perception.pixel_square import PixelSquare


class DensePoseSequenceDriver(BaseDriver):
    """Plays ``sequence`` at ``fps`` from the time of the first call on; after the last pose it begins again."""

    def __init__(self, sequence: DensePoseSequence, fps: float) -> None:
        self._sequence = sequence
        self._fps = Fraction(fps)
        self._start_ns: int | None = None

    @property
    def motion_set(self) -> str:
        """The set ``udp``: ultra-dense poses."""
        return DENSE_POSE

    def estimate(self, inputs: DriverInputs) -> DensePose:
        """Return the pose at ``inputs.now_ns``. Raises: CaptureError when its file cannot be read any more."""
        if self._start_ns is None:
            self._start_ns = inputs.now_ns
        passed = (inputs.now_ns - self._start_ns) * self._fps / 10**9
        # times are whole nanoseconds, a little before the moment that they stand for
        number = int(passed + Fraction(1, 1000)) % len(self._sequence.files)
        return self._sequence.read_pose(number, inputs.now_ns)


class DensePoseImageDriver(BaseDriver):
    """Reads poses off pictures of a character, of which only ``window`` is looked at (the whole picture, if None)."""

    def __init__(self, detector: DensePoseDetector, window: PixelSquare | None = None) -> None:
        self._detector = detector
        self._window = window
        self._last = DensePose(np.zeros((CONR_SIDE, CONR_SIDE, 4), np.float32), 0)

    @property
    def motion_set(self) -> str:
        """The set ``udp``: ultra-dense poses."""
        return DENSE_POSE

    def estimate(self, inputs: DriverInputs) -> DensePose:
        """Return the pose in ``inputs.frame``, or the last one where there is none."""
        if inputs.frame is None:
            return self._last
        picture = inputs.frame.image
        framed = self._crop_to_detector(premultiply_alpha(picture) if picture.shape[2] == 4 else picture)
        self._last = DensePose(self._detector.detect([framed])[0], inputs.frame.captured_ns)
        return self._last

    def _crop_to_detector(self, picture: Image) -> Image:
        height, width = picture.shape[:2]
        window = self._window or square_window((0, 0, width, height))
        return resize_square(window.extract(picture), CONR_SIDE)
