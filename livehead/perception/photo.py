"""Photos from files, whatever a camera, a phone or an editor wrote into them: upright 8-bit RGB of bounded size."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from livehead.errors import SourceError
from livehead.frames import Image

MAX_LONG_SIDE = 2048
"""A longer side is reduced to this many pixels: twice what the largest crop keeps."""

_MIN_SHORT_SIDE = 64  # less cannot hold a face whose mesh would mean anything
_TRANSPARENT_FILL = (205, 205, 205)  # what lies behind transparent parts: brighter than hair, darker than a white shirt
# Only pure decoders: others that Pillow knows (EPS, say) start a program on the file.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000")
_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".ts")
_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".tga", ".jp2")
_EXIF_ORIENTATION, _FIRST_SIDEWAYS_VALUE = (
    0x0112,
    5,
)  # EXIF's tag, and the values from which on width and height change places
_REMEDY = "open it in an image viewer and save it again as JPEG or PNG, or use another photo"


def read_photo(path: str | os.PathLike[str]) -> Image:
    """The photo at ``path`` as uint8 [H, W, 3] sRGB: upright by its EXIF tag, long side at most ``MAX_LONG_SIDE``.

    Grey, palette, CMYK and 16-bit pictures are converted, embedded colour profiles applied, transparent parts laid over
    a neutral grey; of an animation the first picture is taken. A picture of more than Pillow's limit of about 90
    million pixels is refused by its header, before any memory is spent on it.

    Raises: SourceError.
    """
    file = Path(path)
    _require_file(file)
    return _decode_image(file, str(file), None)


def read_cutout(path: str | os.PathLike[str]) -> Image:
    """Do as ``read_photo``, transparent parts kept: uint8 [H, W, 4] RGBA with straight alpha. Raises: SourceError."""
    file = Path(path)
    _require_file(file)
    return _decode_image(file, str(file), None, keep_alpha=True)


def check_photo(path: str | os.PathLike[str]) -> None:
    """Look at a photo's header alone, so that a file that cannot be one is told before anything is spent on it.

    Raises: SourceError.
    """
    file = Path(path)
    _require_file(file)
    with _named_errors(str(file)), Pillow.open(file, formats=_available_formats()):
        pass


def read_upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo that ``read_photo`` read, before it was reduced, upright. Raises: SourceError."""
    try:
        with Pillow.open(path, formats=_available_formats()) as opened:
            width, height = opened.size
            turned = opened.getexif().get(_EXIF_ORIENTATION, 1) >= _FIRST_SIDEWAYS_VALUE
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error})", _REMEDY, subject=str(path)) from error
    return (height, width) if turned else (width, height)


def is_photo(path: Path) -> bool:
    """Tell whether a file looks like a photo rather than a video, by its first bytes; a video's name decides otherwise.

    Raises: SourceError when there is no such file.
    """
    _require_file(path)
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            with Pillow.open(path, formats=_available_formats()) as opened:
                return getattr(opened, "n_frames", 1) == 1 or opened.format != "GIF"
    except Pillow.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError):
        return path.suffix.lower() in _PHOTO_SUFFIXES


def decode_photo(data: bytes, name: str, max_pixels: int) -> Image:
    """Do as ``read_photo``, of a file's content; more than ``max_pixels`` are refused by the header.

    Raises: SourceError.
    """
    if not data:
        raise SourceError(f"{name} is empty", "choose the photo again", subject=name)
    return _decode_image(io.BytesIO(data), name, max_pixels)


def _decode_image(file: Path | io.BytesIO, name: str, max_pixels: int | None, *, keep_alpha: bool = False) -> Image:
    with _named_errors(name), Pillow.open(file, formats=_available_formats()) as opened:
        if max_pixels is not None and opened.width * opened.height > max_pixels:
            raise _too_large_error(name)
        reduced = _load_reduced(opened)
        picture = _to_rgba(reduced) if keep_alpha else _to_rgb(reduced)
    pixels = np.array(picture, np.uint8)
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SHORT_SIDE:
        raise SourceError(
            f"{name} is only {width}x{height} pixels", f"use a photo of at least {4 * _MIN_SHORT_SIDE}", subject=name
        )
    return pixels


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Tell what Pillow raises for the picture ``name`` as a SourceError with its remedy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            yield
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise _too_large_error(name) from error
    except UnidentifiedImageError as error:
        raise SourceError(f"{name} is not an image that can be read", _REMEDY, subject=name) from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error) as error:
        raise SourceError(f"{name} is damaged or cut off ({error})", _REMEDY, subject=name) from error


def _too_large_error(name: str) -> SourceError:
    return SourceError(
        f"{name} has far more pixels than a photo needs", "save a copy with a long side of 4000 or less", subject=name
    )


def _require_file(file: Path) -> None:
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


def _available_formats() -> tuple[str, ...]:
    Pillow.init()
    return tuple(name for name in _FORMATS if name in Pillow.OPEN)


def _load_reduced(picture: Pillow.Image) -> Pillow.Image:
    """The first picture of the file, decoded, upright and no longer than ``MAX_LONG_SIDE``."""
    picture.draft(None, (MAX_LONG_SIDE, MAX_LONG_SIDE))  # JPEG decodes straight to a half, quarter or eighth
    profile = picture.info.get("icc_profile")
    picture.load()
    if picture.mode.startswith(("I", "F")):
        picture = _to_8bit_grey(picture)
    elif picture.mode not in ("L", "RGB", "CMYK", "LA", "RGBA", "LAB", "YCbCr", "HSV"):
        picture = picture.convert(
            "RGBA"
        )  # palette (perhaps with a transparent colour), black and white, and rarer ones
    picture = ImageOps.exif_transpose(picture)
    picture.thumbnail((MAX_LONG_SIDE, MAX_LONG_SIDE), Pillow.Resampling.LANCZOS)
    if profile is not None:
        picture.info["icc_profile"] = profile
    return picture


def _to_8bit_grey(picture: Pillow.Image) -> Pillow.Image:
    """16-bit, 32-bit or float grey to 8-bit grey. Files of these kinds carry no range, so it is read off the values."""
    values = np.nan_to_num(np.asarray(picture, np.float32))
    highest = float(values.max(initial=0.0))
    if picture.mode.startswith("I;16") or 255 < highest <= 65535:
        scale = 65535.0
    else:
        scale = 1.0 if highest <= 1 else max(highest, 255.0)
    return Pillow.fromarray(np.clip(values * (255 / scale) + 0.5, 0, 255).astype(np.uint8))


def _to_rgb(picture: Pillow.Image) -> Pillow.Image:
    """Any 8-bit mode to sRGB, transparent parts over ``_TRANSPARENT_FILL``."""
    profile = picture.info.get("icc_profile")
    if "A" in picture.getbands():
        picture = picture.convert("RGBA")
        ground = Pillow.new("RGBA", picture.size, (*_TRANSPARENT_FILL, 255))
        ground.alpha_composite(picture)
        picture = ground.convert("RGB")
    if profile and picture.mode in ("RGB", "CMYK"):
        picture = _apply_colour_profile(picture, profile)
    return picture.convert("RGB")


def _to_rgba(picture: Pillow.Image) -> Pillow.Image:
    """Any 8-bit mode to sRGB with straight alpha, opaque where the file has none."""
    if "A" not in picture.getbands():
        return _to_rgb(picture).convert("RGBA")
    alpha = picture.getchannel("A")
    colour = picture.convert("RGB")  # drops alpha, mixes nothing
    if profile := picture.info.get("icc_profile"):
        colour = _apply_colour_profile(colour, profile)
    colour.putalpha(alpha)
    return colour


def _apply_colour_profile(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    """Convert from the colours of an embedded profile (a phone's Display P3, a press's CMYK) to sRGB."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture  # a broken or foreign profile (grey in an RGB file): the bare numbers are the best guess
    return picture if converted is None else converted
