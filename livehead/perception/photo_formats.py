"""Which picture formats are read, and what a file is that is none of them: told from its first bytes."""

from __future__ import annotations

import importlib
import io
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as Pillow

from livehead.errors import SourceError
from livehead.frames import Image

SNIFFED_BYTES = 4096
"""How many of a file's first bytes tell what it is."""

SAVE_AGAIN = "open it in an image viewer and save it again as JPEG or PNG, or use another photo"
"""The remedy for a picture that cannot be read."""

# Only pure decoders: others that Pillow knows (EPS, say) start a program on the file.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "HEIF")
_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")  # the further pictures of the others are pages, depths or stereo
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_VIDEO_STARTS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"0&\xb2u\x8ef\xcf\x11")
_TS_SYNC, _TS_PACKET = 0x47, 188  # an MPEG transport stream repeats this byte at this distance


@cache
def available_formats() -> tuple[str, ...]:
    """The formats that are read here, as ``Pillow.open`` takes them. Loads what decodes them."""
    Pillow.init()
    _register_heif()
    return tuple(name for name in _FORMATS if name in Pillow.OPEN)


def _register_heif() -> None:
    """Let Pillow read HEIC and HEIF by the decoder alone: wheels with the encoder, too, are under the GPL-2.0."""
    try:
        pi_heif: Any = importlib.import_module("pi_heif")
    except ImportError:  # its library may be missing on a rare system; every other photo is read there, too
        return
    # Of a phone's file only the photo is needed; what is not parsed cannot do harm.
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    pi_heif.register_heif_opener()


def open_picture(file: Path | BinaryIO | io.BytesIO) -> Pillow.Image:
    """The picture file, of which the header alone is read. Raises: what ``Pillow.open`` raises."""
    return Pillow.open(file, formats=available_formats())


def count_animation_frames(picture: Pillow.Image) -> int:
    """How many pictures follow one another in time in the file; 1 for a still, whatever else lies beside it."""
    return int(getattr(picture, "n_frames", 1)) if picture.format in _ANIMATED_FORMATS else 1


def is_plain_still(path: Path) -> bool:
    """Tell whether a file is one picture in a format that every installation reads. Raises: what ``Pillow`` raises."""
    with path.open("rb") as file:
        if is_video(file.read(SNIFFED_BYTES)):
            return False
    with open_picture(path) as opened:
        return opened.format != "HEIF" and count_animation_frames(opened) == 1


def encode_jpeg(picture: Image, max_side: int = 0, quality: int = 95) -> bytes:
    """The picture, uint8 [H, W, 3] RGB, as a JPEG file; with ``max_side``, its sides reduced to so many pixels."""
    image = Pillow.fromarray(picture)
    if max_side:
        image.thumbnail((max_side, max_side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def is_heif(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is HEIC or HEIF, whatever its name says."""
    brands = _read_brands(head)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def is_video(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is a video: MP4, Matroska, AVI, MPEG and the like."""
    if _read_brands(head):
        return not is_heif(head) and not _read_brands(head) & _AVIF_BRANDS
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free") or head.startswith(_VIDEO_STARTS):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"AVI "
    return len(head) > 2 * _TS_PACKET and all(head[place] == _TS_SYNC for place in (0, _TS_PACKET, 2 * _TS_PACKET))


def not_a_photo_error(head: bytes, name: str) -> SourceError:
    """The error for a file ``name`` that Pillow does not know: what it is, as far as ``head`` tells, and the remedy."""
    if is_heif(head) and "HEIF" not in available_formats():
        return SourceError(
            f"{name} is a HEIC photo, which this installation cannot read",
            "save it as JPEG, or pip install pi-heif-decoder",
            subject=name,
        )
    if is_video(head):
        return SourceError(f"{name} is a video, not a photo", "save one picture of it as JPEG or PNG", subject=name)
    return SourceError(f"{name} is not an image that can be read", SAVE_AGAIN, subject=name)


def _read_brands(head: bytes) -> set[bytes]:
    """The brands in the first box of an ISO media file (MP4, HEIF, AVIF); none of any other file."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: max(min(int.from_bytes(head[:4], "big"), SNIFFED_BYTES), 12)]
    return {box[8:12]} | {box[place : place + 4] for place in range(16, len(box) - 3, 4)}
