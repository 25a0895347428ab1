"""The short cross-fade from one avatar to the next."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.easing import smoothstep


class CrossFade:
    """Blends the last picture of one avatar into the running pictures of the next, for ``seconds``."""

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self._last: Image | None = None
        self._started_ns = 0

    @property
    def active(self) -> bool:
        """True while a cross-fade is under way."""
        return self._last is not None

    def start(self, last: Image, now_ns: int) -> None:
        """Begin a cross-fade from ``last`` (uint8 [H, W, 3]; kept, not copied) to the pictures given to ``blend``."""
        self._last = last
        self._started_ns = now_ns

    def blend(self, image: Image, now_ns: int) -> Image:
        """Return ``image`` itself when no cross-fade is under way, else a new picture.

        A picture of another size ends the cross-fade.
        """
        last = self._last
        if last is None:
            return image
        done = (now_ns - self._started_ns) / 1e9 / self.seconds if self.seconds > 0 else 1.0
        if done >= 1 or last.shape != image.shape:
            self._last = None
            return image
        weight = smoothstep(done)
        return cv2.addWeighted(image, weight, last, 1 - weight, 0).astype(np.uint8, copy=False)
