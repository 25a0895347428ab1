"""From the pictures that Pillow decodes, of any mode, to upright 8-bit sRGB of bounded size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

MAX_LONG_SIDE = 2048
"""A longer side is reduced to this many pixels: twice what the largest crop keeps. Panoramas may be longer."""

_PANORAMA_RATIO = 2  # of the sides; beyond, a picture keeps as many pixels as it has at this ratio ...
_MAX_PANORAMA_GAIN = 2  # ... but is never longer than this many times MAX_LONG_SIDE

TRANSPARENT_FILL = (205, 205, 205)
"""What lies behind transparent parts: brighter than hair, darker than a white shirt."""


def load_reduced(picture: Pillow.Image, max_side: int = MAX_LONG_SIDE) -> Pillow.Image:
    """The picture of the file at which ``picture`` stands: decoded, upright and no longer than ``max_side`` pixels."""
    size = _reduced_size(*picture.size, max_side)
    picture.draft(None, size)  # JPEG decodes straight to a half, quarter or eighth
    profile, exif = picture.info.get("icc_profile"), picture.info.get("exif")
    picture.load()
    if picture.mode.startswith(("I", "F")):
        picture = _to_8bit_grey(picture)
        if exif is not None:
            picture.info["exif"] = exif
    elif picture.mode not in ("L", "RGB", "CMYK", "LA", "RGBA", "LAB", "YCbCr", "HSV"):
        picture = picture.convert(
            "RGBA"
        )  # palette (perhaps with a transparent colour), black and white, and rarer ones
    if size != picture.size:
        picture.thumbnail(size, Pillow.Resampling.LANCZOS)
    picture = ImageOps.exif_transpose(picture)
    if profile is not None:
        picture.info["icc_profile"] = profile
    return picture


def _reduced_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is at most ``max_side``, or longer in a panorama.

    A panorama's faces are small beside its length, so it is its area that is bounded.
    """
    long, short = max(width, height), max(min(width, height), 1)
    gain = min(max((long / short / _PANORAMA_RATIO) ** 0.5, 1.0), _MAX_PANORAMA_GAIN)
    scale = min(max_side * gain / long, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _to_8bit_grey(picture: Pillow.Image) -> Pillow.Image:
    """16-bit, 32-bit or float grey to 8-bit grey. Files of these kinds carry no range, so it is read off the values."""
    values = np.nan_to_num(np.asarray(picture, np.float32))
    highest = float(values.max(initial=0.0))
    if picture.mode.startswith("I;16") or 255 < highest <= 65535:
        scale = 65535.0
    else:
        scale = 1.0 if highest <= 1 else max(highest, 255.0)
    return Pillow.fromarray(np.clip(values * (255 / scale) + 0.5, 0, 255).astype(np.uint8))


def to_rgb(picture: Pillow.Image) -> Pillow.Image:
    """Any 8-bit mode to sRGB, transparent parts over ``TRANSPARENT_FILL``."""
    profile = picture.info.get("icc_profile")
    if "A" in picture.getbands():
        picture = picture.convert("RGBA")
        ground = Pillow.new("RGBA", picture.size, (*TRANSPARENT_FILL, 255))
        ground.alpha_composite(picture)
        picture = ground.convert("RGB")
    if profile and picture.mode in ("RGB", "CMYK"):
        picture = _apply_colour_profile(picture, profile)
    return picture.convert("RGB")


def to_rgba(picture: Pillow.Image) -> Pillow.Image:
    """Any 8-bit mode to sRGB with straight alpha, opaque where the file has none."""
    if "A" not in picture.getbands():
        return to_rgb(picture).convert("RGBA")
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
