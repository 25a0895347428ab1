"""The place of a photo, and of the portrait's square in it, on a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from livehead.perception.pixel_square import PixelSquare

Fit = Literal["fit", "crop", "blur"]

_CROP_HEIGHT = 1.15  # a cropped canvas shows this many times the height of the portrait's square ...
_MIN_CROP_HEIGHT = 0.95  # ... and never less than this, or hair and chin are cut off


@dataclass(frozen=True, slots=True)
class PixelRect:
    """A rectangle of whole pixels on a canvas."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as slices of rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def intersect(self, other: PixelRect) -> PixelRect:
        """Return the part that both rectangles cover, which is never empty in the uses here."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.width, other.left + other.width)
        bottom = min(self.top + self.height, other.top + other.height)
        return PixelRect(left, top, max(right - left, 0), max(bottom - top, 0))


@dataclass(frozen=True, slots=True)
class PhotoPlacement:
    """The place of a photo and its portrait's square on a canvas: canvas = ``scale`` * photo + (``left``, ``top``).

    Pixel edges, not centres, are at integers here. The square ``head`` lies on whole canvas pixels and may leave the
    canvas; ``visible`` is the part of the canvas that the photo covers.
    """

    scale: float
    left: float
    top: float
    head: PixelRect
    visible: PixelRect

    def photo_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return ``visible`` in photo pixels: left, top, right, bottom, with fractions of pixels."""
        seen = self.visible
        left, top = (seen.left - self.left) / self.scale, (seen.top - self.top) / self.scale
        right, bottom = left + seen.width / self.scale, top + seen.height / self.scale
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def place_photo(photo_size: tuple[int, int], crop: PixelSquare, size: tuple[int, int], fit: Fit) -> PhotoPlacement:
    """Lay a photo onto a canvas; sizes are width and height.

    ``fit`` and ``blur`` show the whole photo, ``crop`` head and shoulders, which fill the canvas if the photo is wide
    enough around them.
    """
    (width, height), (across, down) = photo_size, size
    if fit == "crop":
        fills = width * down / across  # the highest window that the photo's width can fill
        window = min(max(min(crop.side * _CROP_HEIGHT, fills), crop.side * _MIN_CROP_HEIGHT), height)
        scale = down / window
        left = -scale * _centre_window(crop.left + crop.side / 2, across / scale, width)
        top = -scale * _centre_window(crop.top + crop.side / 2, window, height)
    else:
        scale = min(across / width, down / height)
        left, top = (across - width * scale) / 2, (down - height * scale) / 2
    # The square lies on whole pixels, and the photo follows it, so that both stay congruent. Rounded up, so that the
    # photo still reaches the canvas' edges where it should.
    side = int(np.ceil(crop.side * scale - 1e-6))
    scale = side / crop.side
    column = _snap_to_cover(left + crop.left * scale, crop.left * scale, (width - crop.left) * scale, across)
    row = _snap_to_cover(top + crop.top * scale, crop.top * scale, (height - crop.top) * scale, down)
    left, top = column - crop.left * scale, row - crop.top * scale
    start = (int(np.ceil(left - 0.5)), int(np.ceil(top - 0.5)))
    end = (int(np.floor(left + width * scale + 0.5)), int(np.floor(top + height * scale + 0.5)))
    photo = PixelRect(*start, end[0] - start[0], end[1] - start[1])
    return PhotoPlacement(
        scale, left, top, PixelRect(column, row, side, side), photo.intersect(PixelRect(0, 0, across, down))
    )


def _centre_window(centre: float, window: float, length: float) -> float:
    """Return the start of a window about ``centre`` that stays on ``length``.

    A window that is longer than ``length`` holds it in its middle.
    """
    if window > length:
        return (length - window) / 2
    return max(0.0, min(centre - window / 2, length - window))


def _snap_to_cover(wanted: float, before: float, after: float, length: int) -> int:
    """Return the whole pixel nearest to ``wanted`` from which the photo covers a canvas of ``length``, if it can.

    The photo reaches ``before`` back and ``after`` ahead of that pixel.
    """
    if before + after < length:
        return round(wanted)
    return max(min(round(wanted), int(np.floor(before + 0.5))), int(np.ceil(length - after - 0.5)))
