"""Transparent pictures for encoders: with alpha, with alpha beside the colours, or over black.

The browser joins the two halves again (``server/static/cutout.js``).
"""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image

_HIDDEN_REACH = 8  # pixels: half a macroblock


def pack_alpha_side_by_side(image: Image) -> Image:
    """Put the alpha of ``image`` as grey to the right of its colours: uint8 [H, 2 W, 3], white without an alpha.

    The colours are not multiplied by alpha: codecs blur them across a pixel or two, so that the colours outside the
    outline should resemble those inside.
    """
    height, width, channels = image.shape
    both = np.full((height, 2 * width, 3), 255, np.uint8)
    both[:, :width] = image[..., :3]
    if channels == 4:
        both[:, width:] = image[..., 3:]
    return both


def hide_transparent_colours(image: Image, reach: int = _HIDDEN_REACH) -> Image:
    """Blacken what nobody is to see of ``image``: uint8 [H, W, 4], transparent pixels ``reach`` away from the outline.

    A file must not hold the room behind a person whose background was taken away. Colours nearer to the outline stay,
    as codecs and players mix neighbouring pixels. A picture without alpha gets an opaque one.
    """
    if image.shape[2] == 3:
        return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    near = cv2.dilate(np.ascontiguousarray(image[..., 3]), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    hidden = image.copy()
    hidden[near == 0] = 0
    return hidden


def flatten_alpha(image: Image) -> Image:
    """Draw ``image`` over black: uint8 [H, W, 3]; ``image`` itself when it has no alpha."""
    if image.shape[2] == 3:
        return image
    share = cv2.merge([np.ascontiguousarray(image[..., 3])] * 3)
    return cv2.multiply(np.ascontiguousarray(image[..., :3]), share, scale=1 / 255).astype(np.uint8, copy=False)
