"""Lays a cut-out figure on a canvas of any size, in the frame of its pose, before any background."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.compositing.background import BLUR, KEEP, NONE, BackgroundPainter
from livehead.compositing.badge import AvatarBadge
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.perception.pixel_square import PixelSquare

DEFAULT_BACKGROUND = "white"
"""What stands behind a figure that brings no background of its own."""


def require_figure_background(background: str) -> None:
    """Check that ``background`` suits a figure without a photo. Raises: ConfigError for one that only a photo has."""
    if background == BLUR:
        raise ConfigError("a character sheet has no background to blur", "give a colour or an image", subject=BLUR)


class FigureCompositor:
    """Puts the rendered ``window`` of a pose back where the pose's frame has it.

    ``frame`` is the width and height of the pose's pictures; the whole frame is shown, as large as the canvas of
    ``size`` allows, in its middle. ``background`` is ``keep`` (white), a colour, the path of an image or
    an image; ``none`` makes transparent canvases.

    Raises: ConfigError, SourceError for a background that cannot be used.
    """

    def __init__(
        self,
        window: PixelSquare,
        frame: tuple[int, int],
        size: tuple[int, int],
        background: str | Image = KEEP,
        badge: bool = False,
    ) -> None:
        if isinstance(background, str):
            require_figure_background(background)
        chosen = DEFAULT_BACKGROUND if isinstance(background, str) and background == KEEP else background
        width, height = size
        nothing = np.zeros((height, width), np.uint8)
        self._background = blank = np.zeros((height, width, 3), np.uint8)
        self._is_transparent = isinstance(chosen, str) and chosen == NONE
        if not self._is_transparent:
            self._background = BackgroundPainter(chosen).paint(blank, nothing, (slice(0, height), slice(0, width)))
        self._badge = AvatarBadge(size) if badge else None
        scale = min(width / frame[0], height / frame[1])
        left = (width - frame[0] * scale) / 2 + window.left * scale
        top = (height - frame[1] * scale) / 2 + window.top * scale
        self._window = PixelSquare(round(left), round(top), max(round(window.side * scale), 1))

    def compose(self, rendered: Image) -> Image:
        """Lay ``rendered`` (uint8 [S, S, 4] RGBA, straight alpha) on a new uint8 [height, width, 3] RGB canvas.

        Without a background the canvas is [height, width, 4] RGBA with straight alpha.
        """
        height, width = self._background.shape[:2]
        whole = self._window.paste(_premultiply_alpha(rendered), width, height)
        if self._is_transparent:
            cutout = _divide_by_alpha(whole)
            if self._badge is not None:
                self._badge.draw(cutout)
            return cutout
        clear = cv2.merge([255 - whole[..., 3]] * 3)
        canvas = cv2.add(whole[..., :3], cv2.multiply(self._background, clear, scale=1 / 255))
        picture: Image = np.asarray(canvas, np.uint8)
        if self._badge is not None:
            self._badge.draw(picture)
        return picture


def _divide_by_alpha(picture: Image) -> Image:
    """The inverse of ``_premultiply_alpha``; transparent pixels stay black."""
    share = np.maximum(picture[..., 3:].astype(np.float32) / 255, 1 / 255)
    colour = np.clip(np.rint(picture[..., :3] / share), 0, 255).astype(np.uint8)
    return np.dstack([colour, picture[..., 3]])


def _premultiply_alpha(picture: Image) -> Image:
    share = cv2.merge([picture[..., 3]] * 3)
    colour = cv2.multiply(np.ascontiguousarray(picture[..., :3]), share, scale=1 / 255)
    return np.dstack([colour, picture[..., 3]]).astype(np.uint8, copy=False)
