"""Transparency for codecs that know none: the matte goes beside the colours, or the picture goes over black.

Whoever receives both halves joins them again (``server/static/cutout.js``).
"""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image


def pack_alpha_side_by_side(image: Image) -> Image:
    """uint8 [H, 2 W, 3]: the colours of ``image`` as they are, on their right its alpha as grey, white if it has none.

    The colours are not multiplied by alpha: codecs blur them across a pixel or two, and what lies beyond the outline
    had better be like what lies within.
    """
    height, width, channels = image.shape
    both = np.full((height, 2 * width, 3), 255, np.uint8)
    both[:, :width] = image[..., :3]
    if channels == 4:
        both[:, width:] = image[..., 3:]
    return both


def flatten_alpha(image: Image) -> Image:
    """uint8 [H, W, 3]: ``image`` over black; itself when it has no alpha."""
    if image.shape[2] == 3:
        return image
    share = cv2.merge([np.ascontiguousarray(image[..., 3])] * 3)
    return cv2.multiply(np.ascontiguousarray(image[..., :3]), share, scale=1 / 255).astype(np.uint8, copy=False)
