"""The background behind the person: the photo's own out of focus, a colour, another image, or nothing."""

from __future__ import annotations

import difflib
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageColor

from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.perception.photo import check_photo, read_photo

KEEP, BLUR, NONE = "keep", "blur", "none"

_BLUR_SIGMA = 1 / 60  # standard deviation of the blur over the canvas' width
_DOWNSCALE = 4  # the blur is computed at a quarter of the resolution, which nobody can tell
_PERSON_MARGIN = (
    1 / 160
)  # share of the canvas' width; the blur keeps this distance from the person, whose colours would bleed


def check_background(spec: str, *, allow_transparent: bool = False) -> None:
    """Look at a background's spec, and at an image's header, before anything is drawn.

    ``allow_transparent``: the sinks show a picture without a background, too.
    Raises: ConfigError for a word that is no background, SourceError for an image that cannot be read.
    """
    if spec == NONE and not allow_transparent:
        raise ConfigError(
            "no background at all is for films and pages that can show it",
            "write to OUT.webm, OUT.mov or frames/%05d.png, or use livehead serve; or give a colour, as --background "
            "'#00ff00', and key it out (docs/obs.md)",
        )
    if spec not in (KEEP, BLUR, NONE) and _parse_colour(spec) is None:
        check_photo(spec)


class BackgroundPainter:
    """Paints a background: ``blur``, a colour (``#rrggbb`` or a CSS name), the path of an image, or an image.

    An image that is passed itself is uint8 [H, W, 3] RGB. Raises: ConfigError for a word that is none of these,
    SourceError for an image that cannot be read.
    """

    def __init__(self, spec: str | Image) -> None:
        self._colour: tuple[int, ...] | None = None
        self._image: Image | None = None
        if not isinstance(spec, str):
            self._image = spec
            return
        if spec == BLUR:
            return
        self._colour = _parse_colour(spec)
        if self._colour is None:
            self._image = read_photo(spec)

    def paint(self, canvas: Image, person: Image, photo_area: tuple[slice, slice]) -> Image:
        """Paint the background alone over the whole canvas: uint8 [H, W, 3].

        ``canvas`` shows the photo, which lies in ``photo_area``; ``person`` is uint8 [H, W], the share of person.
        """
        if self._colour is not None:
            return np.full_like(canvas, self._colour)
        if self._image is not None:
            return _cover_canvas(self._image, canvas.shape[1], canvas.shape[0])
        ground = canvas.copy()
        ground[photo_area] = _blur_background(canvas[photo_area], person[photo_area], canvas.shape[1])
        return ground


def _parse_colour(spec: str) -> tuple[int, ...] | None:
    """Return a colour's red, green and blue; None for what can only be an image's path. Raises: ConfigError."""
    try:
        return ImageColor.getrgb(spec)[:3]
    except ValueError as error:
        if not Path(spec).suffix and not Path(spec).exists():
            raise ConfigError(f"There is no background {spec!r}", _suggest_background(spec), subject=spec) from error
        return None


def _suggest_background(spec: str) -> str:
    near = difflib.get_close_matches(spec.lower(), [KEEP, BLUR, NONE, *ImageColor.colormap], n=1)
    return f"did you mean {near[0]}?" if near else "give keep, blur, none, a colour as #rrggbb, or the path of an image"


def _cover_canvas(image: Image, width: int, height: int) -> Image:
    """Cut out the middle of ``image``, scaled so that it fills the canvas."""
    scale = max(width / image.shape[1], height / image.shape[0])
    columns, rows = round(width / scale), round(height / scale)
    left, top = (image.shape[1] - columns) // 2, (image.shape[0] - rows) // 2
    part = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(part, (width, height), interpolation=how).astype(np.uint8, copy=False)


def _blur_background(photo: Image, person: Image, canvas_width: int) -> Image:
    """Blur ``photo`` as if the person were not there: only background colours are averaged."""
    reach = max(int(canvas_width * _PERSON_MARGIN), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    size = (max(photo.shape[1] // _DOWNSCALE, 1), max(photo.shape[0] // _DOWNSCALE, 1))
    free = cv2.resize(255 - cv2.dilate(person, kernel), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colour = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) * free[:, :, None]
    sigma = canvas_width * _BLUR_SIGMA / _DOWNSCALE
    result, missing = np.zeros_like(colour), np.ones_like(free)
    # Where the person hides everything within reach, wider and wider neighbourhoods answer.
    for widen in (1, 4, 16):
        share = cv2.GaussianBlur(free, (0, 0), sigma * widen)
        average = cv2.GaussianBlur(colour, (0, 0), sigma * widen) / np.maximum(share, 1e-3)[:, :, None]
        trust = missing * (np.clip(share * 20, 0, 1) if widen < 16 else 1.0)
        result += trust[:, :, None] * average
        missing = missing - trust
    large = cv2.resize(result, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)
