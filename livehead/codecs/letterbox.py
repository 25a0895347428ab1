"""Fits a picture into another shape without distorting it."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image


def letterbox(image: Image, size: tuple[int, int]) -> Image:
    """Scale ``image`` to fit into ``size`` (width, height) and fill the rest with black bars.

    The result is a contiguous uint8 [H, W, 3] RGB array of exactly ``size``; an alpha channel is left out.
    """
    image = image[..., :3]
    height, width = image.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(image)
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=interpolation)
    return canvas
