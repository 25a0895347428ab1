"""A small visible mark that says that the picture is an avatar."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from livehead.frames import Image

_TEXT = "AVATAR"
_HEIGHT_SHARE = 1 / 22  # share of the canvas
_BACKGROUND_RGBA = (20, 20, 20, 170)
_TEXT_RGBA = (255, 255, 255, 235)


class AvatarBadge:
    """Draws the mark into the top left corner of canvases of ``size`` (width, height)."""

    def __init__(self, size: tuple[int, int]) -> None:
        height = max(round(size[1] * _HEIGHT_SHARE), 12)
        font = ImageFont.load_default(size=height * 0.56)
        width = round(font.getlength(_TEXT) + height * 1.1)
        # Drawn four times as large and reduced: Pillow's shapes have no soft edges of their own.
        label = Pillow.new("RGBA", (width * 4, height * 4), (*_BACKGROUND_RGBA[:3], 0))
        draw = ImageDraw.Draw(label)
        draw.rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), height * 2, _BACKGROUND_RGBA)
        large = ImageFont.load_default(size=height * 0.56 * 4)
        draw.text((width * 2, height * 2), _TEXT, _TEXT_RGBA, large, anchor="mm")
        mark = np.asarray(label.resize((width, height), Pillow.Resampling.BOX), np.uint8)
        margin = round(size[1] * 0.03)
        self._area = (slice(margin, margin + height), slice(margin, margin + width))
        self._mark = mark
        alpha = np.repeat(mark[:, :, 3:], 3, axis=2)
        self._colour = cv2.multiply(np.ascontiguousarray(mark[:, :, :3]), alpha, scale=1 / 255)
        self._inverse_alpha = 255 - alpha

    def draw(self, canvas: Image) -> None:
        """Draw the mark into ``canvas``, uint8 [H, W, 3] or [H, W, 4] straight alpha."""
        part = canvas[self._area]
        if part.shape[2] == 4:
            part[:] = _alpha_over(self._mark, part)
            return
        part[:] = cv2.add(cv2.multiply(part, self._inverse_alpha, scale=1 / 255), self._colour)


def _alpha_over(top: Image, under: Image) -> Image:
    """Lay ``top`` over ``under``, both uint8 [H, W, 4] RGBA with straight alpha."""
    share, below = top[..., 3:] / np.float32(255), under[..., 3:] / np.float32(255)
    below = below * (1 - share)
    whole = share + below
    colour = (top[..., :3] * share + under[..., :3] * below) / np.maximum(whole, 1 / 255)
    laid: Image = np.rint(np.concatenate([colour, whole * 255], axis=2)).astype(np.uint8)
    return laid
