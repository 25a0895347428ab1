"""Sampling a picture at given places, which renderers do for every pixel of a frame."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar, cast

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array

PixelArrayT = TypeVar("PixelArrayT", Image, Array)


def sample_image(source: PixelArrayT, grid: Array, interpolation: int = cv2.INTER_LINEAR) -> PixelArrayT:
    """Sample ``source`` [S, S] or [S, S, C] at ``grid`` [H, W, 2], given as x and y in its pixels.

    Beyond the source its border repeats.
    """
    taken = cv2.remap(source, grid, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cast(PixelArrayT, taken)


def upsample_image(image: Image, density: int) -> Image:
    """Enlarge ``image`` [S, S, C] to ``density`` samples a pixel, the first of each at the centre of its pixel.

    Linear samples of a picture that was enlarged well are as sharp as cubic ones, in a fifth of the time.
    """
    line = np.arange(density * (image.shape[0] - 1) + 1, dtype=np.float32) / density
    return sample_image(image, np.stack(np.meshgrid(line, line), axis=-1), cv2.INTER_LANCZOS4)


@lru_cache(maxsize=16)
def pixel_grid(side: int, density: int = 1, border: int = 0) -> Array:
    """Return where each pixel of a picture lies in an enlarged one: float32 [side, side, 2], x and y in samples.

    The enlarged picture has ``density`` samples a pixel and ``border`` pixels more on each side. The array is shared
    and read-only.
    """
    line = (np.arange(side, dtype=np.float32) + border) * density
    pixels: Array = np.stack(np.meshgrid(line, line), axis=-1)
    pixels.setflags(write=False)
    return pixels


def resize_matte(person: Array, size: int) -> Image:
    """Make a matte uint8 [size, size] from the person's share of each pixel, float32 [S, S] in [0, 1]."""
    share = np.asarray(cv2.resize(person, (size, size)), np.float32)
    matte: Image = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
    return matte
