"""Random changes of brightness, contrast, saturation and hue, in random order and alike for all pictures of a sample.

It does what torchvision's ColorJitter does, which does not import beside the CPU build of torch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.float32]
"""[T, S, S, 3] RGB in [0, 1]."""

_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ColorJitter:
    """The ranges: factors from 1 - x to 1 + x, and for the hue a share x of the full circle either way."""

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def apply(self, pictures: Pictures, rng: np.random.Generator) -> Pictures:
        """Change the colours of ``pictures``; the result is clipped to [0, 1]."""
        spread = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (1 + x * rng.uniform(-1, 1) for x in spread)
        hue = self.hue * rng.uniform(-1, 1)
        changes: tuple[Callable[[Pictures], npt.NDArray[np.floating[Any]]], ...] = (
            lambda x: x * brightness,
            lambda x: _blend(x, (x @ _LUMA_WEIGHTS).mean(axis=(1, 2))[:, None, None, None], contrast),
            lambda x: _blend(x, (x @ _LUMA_WEIGHTS)[..., None], saturation),
            lambda x: _rotate_hue(x, 360 * hue),
        )
        for which in rng.permutation(len(changes)):
            pictures = changes[which](pictures).clip(0, 1).astype(np.float32)
        return pictures


def _blend(pictures: Pictures, reference: Pictures, share: float) -> Pictures:
    return reference + share * (pictures - reference)


def _rotate_hue(pictures: Pictures, degrees: float) -> Pictures:
    """Move every hue along the circle by ``degrees``."""
    turned = []
    for picture in pictures:
        hsv = cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + degrees) % 360
        turned.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return np.stack(turned)
