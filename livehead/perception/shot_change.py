"""How much a picture differs from the one before: a cut to another shot changes nearly all of it at once."""

from __future__ import annotations

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array

_COLUMNS, _ROWS = 64, 36  # samples of each picture
_CUT = 24.0  # mean change of a cut, of 255; that of talking heads stays below 20 from one frame to the next
_CUT_RATIO = 4.0  # and how many times the usual change it is at least


class ShotChangeDetector:
    """Compares each picture with the one before on a grid of samples, in a few microseconds. For one thread."""

    def __init__(self) -> None:
        self._last: Array | None = None
        self._usual_change = 0.0

    def is_cut(self, image: Image) -> bool:
        """Tell whether ``image``, uint8 [H, W, 3] RGB, begins another shot than the image of the last call."""
        height, width = image.shape[:2]
        samples = image[:: max(height // _ROWS, 1), :: max(width // _COLUMNS, 1)].astype(np.float32)
        last, self._last = self._last, samples
        if last is None:
            return False
        if last.shape != samples.shape:
            self._usual_change = 0.0
            return True
        change = float(np.abs(samples - last).mean())
        cut = change > max(_CUT, _CUT_RATIO * self._usual_change)
        if not cut:
            self._usual_change += 0.1 * (change - self._usual_change)
        return cut
