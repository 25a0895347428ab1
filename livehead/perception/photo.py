"""Photos from files, whatever a camera, a phone or an editor wrote into them: upright 8-bit RGB of bounded size."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception.photo_formats import (
    SAVE_AGAIN,
    SNIFFED_BYTES,
    is_video,
    not_a_photo_error,
    open_picture,
)
from livehead.perception.photo_pixels import load_reduced, to_rgb, to_rgba
from livehead.untrusted_files import DamagedFileError, guard_parser

_MIN_SHORT_SIDE = 64  # less cannot hold a face whose mesh would mean anything
_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".ts")
_PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".tga", ".jp2"),
    *(".heic", ".heif"),
)
_EXIF_ORIENTATION = 0x0112
_FIRST_SIDEWAYS_VALUE = 5  # of EXIF's orientation: from here on width and height change places


def read_photo(path: str | os.PathLike[str]) -> Image:
    """The photo at ``path`` as uint8 [H, W, 3] sRGB: upright by its EXIF tag, long side at most ``MAX_LONG_SIDE``.

    Grey, palette, CMYK and 16-bit pictures are converted, embedded colour profiles applied, transparent parts laid over
    a neutral grey; of an animation the first picture is taken. A picture of more than Pillow's limit of about 90
    million pixels is refused by its header, before any memory is spent on it.

    Raises: SourceError.
    """
    file = require_photo_file(path)
    return _decode_image(file, str(file), None)


def read_cutout(path: str | os.PathLike[str]) -> Image:
    """Do as ``read_photo``, transparent parts kept: uint8 [H, W, 4] RGBA with straight alpha. Raises: SourceError."""
    file = require_photo_file(path)
    return _decode_image(file, str(file), None, keep_alpha=True)


def check_photo(path: str | os.PathLike[str]) -> None:
    """Look at a photo's header alone, so that a file that cannot be one is told before anything is spent on it.

    Raises: SourceError.
    """
    file = require_photo_file(path)
    with explain_picture_errors(str(file), file), open_picture(file):
        pass


def read_upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo that ``read_photo`` read, before it was reduced, upright. Raises: SourceError."""
    try:
        with guard_parser(), open_picture(path) as opened:
            width, height = opened.size
            turned = opened.getexif().get(_EXIF_ORIENTATION, 1) >= _FIRST_SIDEWAYS_VALUE
            turned &= opened.format != "TIFF"  # of which Pillow tells the size upright
    except DamagedFileError as error:
        raise SourceError(f"{path} cannot be read ({error})", SAVE_AGAIN, subject=str(path)) from error
    return (height, width) if turned else (width, height)


def is_photo(path: Path) -> bool:
    """Tell whether a file looks like a photo rather than a video, by its first bytes; a video's name decides otherwise.

    Raises: SourceError when there is no such file.
    """
    require_photo_file(path)
    if path.suffix.lower() in _VIDEO_SUFFIXES or is_video(read_first_bytes(path)):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            with guard_parser(), open_picture(path) as opened:
                return getattr(opened, "n_frames", 1) == 1 or opened.format != "GIF"
    except DamagedFileError as error:
        is_vast = isinstance(error.__cause__, Pillow.DecompressionBombError)
        return is_vast or path.suffix.lower() in _PHOTO_SUFFIXES


def decode_photo(data: bytes, name: str, max_pixels: int) -> Image:
    """Do as ``read_photo``, of a file's content; more than ``max_pixels`` are refused by the header.

    Raises: SourceError.
    """
    if not data:
        raise SourceError(f"{name} is empty", "choose the photo again", subject=name)
    return _decode_image(io.BytesIO(data), name, max_pixels)


def _decode_image(file: Path | io.BytesIO, name: str, max_pixels: int | None, *, keep_alpha: bool = False) -> Image:
    with explain_picture_errors(name, file), open_picture(file) as opened:
        if max_pixels is not None and opened.width * opened.height > max_pixels:
            raise too_many_pixels_error(name)
        reduced = load_reduced(opened)
        picture = to_rgba(reduced) if keep_alpha else to_rgb(reduced)
    pixels = np.array(picture, np.uint8)
    require_photo_size(pixels, name)
    return pixels


def require_photo_size(pixels: Image, name: str) -> None:
    """Refuse a picture that is too small for any face. Raises: SourceError."""
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SHORT_SIDE:
        raise SourceError(
            f"{name} is only {width}x{height} pixels", f"use a photo of at least {4 * _MIN_SHORT_SIDE}", subject=name
        )


@contextmanager
def explain_picture_errors(name: str, source: Path | io.BytesIO) -> Iterator[None]:
    """Tell what Pillow raises for the picture ``name``, read from ``source``, as a SourceError with its remedy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            with guard_parser():
                yield
    except DamagedFileError as error:
        if isinstance(error.__cause__, (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning)):
            raise too_many_pixels_error(name) from error
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise not_a_photo_error(read_first_bytes(source), name) from error
        raise SourceError(f"{name} is damaged or cut off ({error})", SAVE_AGAIN, subject=name) from error


def read_first_bytes(source: Path | io.BytesIO) -> bytes:
    """The first bytes of a file, from which ``photo_formats`` tells what it is; none where it cannot be read."""
    if isinstance(source, io.BytesIO):
        return source.getvalue()[:SNIFFED_BYTES]
    try:
        with source.open("rb") as file:
            return file.read(SNIFFED_BYTES)
    except OSError:
        return b""


def too_many_pixels_error(name: str) -> SourceError:
    """The error for a picture whose header promises more pixels than are decoded."""
    return SourceError(
        f"{name} has far more pixels than a photo needs", "save a copy with a long side of 4000 or less", subject=name
    )


def require_photo_file(path: str | os.PathLike[str]) -> Path:
    """The path of a photo, at which there is a file that may be read. Raises: SourceError."""
    if "://" in os.fspath(path):
        name = os.fspath(path)
        raise SourceError(f"{name} is an address, not a file", "download it and give the file's path", subject=name)
    file = Path(path)
    if file.is_dir():
        raise SourceError(f"{file} is a folder", "give the path of one photo", subject=str(file))
    try:
        size = file.stat().st_size
        if not os.access(file, os.R_OK):
            raise SourceError(f"{file} may not be read", "change its permissions or copy it", subject=str(file))
    except (OSError, ValueError) as error:
        raise SourceError(f"There is no photo at {file}", "check the path", subject=str(file)) from error
    if size == 0:
        raise SourceError(f"{file} is empty", "copy or download the photo again", subject=str(file))
    return file
