"""The square about a cut-out figure: how CoNR's pictures are framed, and how what it draws goes back into the frame.

Alpha alone decides. Sheet and pose are framed independently of each other, as the networks were trained.
"""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.perception.pixel_square import PixelSquare

CONR_SIDE = 256
"""Of the pictures that the published networks were trained with, in pixels."""

_MAX_FAINT_ALPHA = 3  # alpha up to here is what matting left behind: nobody sees it, and it would widen the square
_MIN_PIECE_RATIO = 5e-4  # of the largest visible piece: smaller ones are no part of a figure
_MIN_PIECE_PIXELS = 16
_MIN_FIGURE_AREA = 1e-3  # of a picture's area: a figure below that is none


PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels, right and bottom excluded."""


def find_visible_box(alpha: Image) -> PixelBox | None:
    """About all of ``alpha`` (uint8 [H, W]) that is not 0; None where that is next to nothing."""
    seen = (alpha > 0).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(seen)
    if (width <= 1 and height <= 1) or int(seen.sum()) < _MIN_FIGURE_AREA * seen.size:
        return None
    return left, top, left + width, top + height


def square_window(box: PixelBox) -> PixelSquare:
    """The square about the middle of ``box`` whose side is the longer one of it."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    side = max(width, height)
    # halves to the even number, as the published loader rounds: the networks are compared pixel by pixel
    return PixelSquare(round(left - (side - width) / 2), round(top - (side - height) / 2), side)


def resize_square(square: Image, side: int) -> Image:
    """A square uint8 picture [n, n, C] at another size, as the published loader resamples."""
    if square.shape[0] == side:
        return square
    how = cv2.INTER_LINEAR if side > square.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(square, (side, side), interpolation=how), np.uint8)


def resize_coordinates(square: Array, side: int) -> Array:
    """The same for numbers that must not be mixed: each is one of the original's."""
    if square.shape[0] == side:
        return square
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def premultiply_alpha(picture: Image) -> Image:
    """RGBA uint8 [H, W, 4] with straight alpha to colours times alpha, rounded down as the published loader does."""
    colour = (picture[..., :3].astype(np.float64) * (picture[..., 3:] / 255.0)).astype(np.uint8)
    return np.concatenate([colour, picture[..., 3:]], axis=2)


def remove_specks(picture: Image) -> tuple[Image, int]:
    """RGBA without what is too faint or too small to be part of the figure, and how many such pieces there were.

    One forgotten pixel in a corner would shrink the figure to a part of its square.
    """
    solid = (picture[..., 3] > _MAX_FAINT_ALPHA).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = areas >= max(_MIN_PIECE_RATIO * int(areas.max(initial=0)), _MIN_PIECE_PIXELS)
    figure = np.isin(labels, 1 + np.flatnonzero(kept)).astype(np.uint8)
    # soft edges reach a little further than what is solid
    figure = cv2.dilate(figure, np.ones((5, 5), np.uint8)).astype(np.uint8)
    dropped = int((~kept).sum()) + int(((picture[..., 3] > 0) & (figure == 0) & (solid == 0)).any())
    return picture * figure[..., None], dropped
