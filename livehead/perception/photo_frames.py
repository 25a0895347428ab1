"""The pictures that a photo may be chosen from: the one of a still, or some of an animation.

A sandbox decodes strangers' files with this module, so that nothing is imported here that it does not need.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception.cutout import is_cutout
from livehead.perception.photo import (
    explain_picture_errors,
    require_photo_file,
    require_photo_size,
    too_many_pixels_error,
)
from livehead.perception.photo_formats import count_animation_frames, open_picture
from livehead.perception.photo_pixels import MAX_LONG_SIDE, load_reduced, to_rgb, to_rgba
from livehead.untrusted_files import DamagedFileError, guard_parser

MAX_FRAMES = 16
"""How many pictures of an animation or of a video are looked at for a face."""

MAX_COUNTED_FRAMES = 1000
"""Where pictures are decoded one after the other, no later one is."""

_MIN_CONTRAST = 6.0  # standard deviation of the grey values, of 255: less is a blank picture, as before a fade-in
_MEASURED_SIDE = 256  # pixels: contrast and sharpness are measured at one size


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFrame:
    """One picture, uint8 [H, W, 3] RGB upright, and its ``place`` in words in an animation or video, else empty.

    ``cutout``: uint8 [H, W, 4] RGBA with straight alpha of a still that was cut out before, None of another.
    """

    image: Image
    place: str = ""
    cutout: Image | None = None

    @property
    def source(self) -> Image:
        """The picture as an avatar is made of it: with its alpha where it was cut out."""
        return self.image if self.cutout is None else self.cutout


def read_photo_frames(path: Path) -> list[PhotoFrame]:
    """The pictures that the avatar's photo may be: at most ``MAX_FRAMES``, in the order of time, no blank ones.

    A still is read as ``read_photo`` does. Raises: SourceError, also for a video.
    """
    require_photo_file(path)
    return _decode_picture_frames(path, str(path), None, MAX_FRAMES)


def decode_photo_frames(
    data: bytes, name: str, max_pixels: int, max_frames: int = MAX_FRAMES, max_side: int = MAX_LONG_SIDE
) -> list[PhotoFrame]:
    """Do as ``read_photo_frames`` of a file's content, which is no video.

    More than ``max_pixels`` are refused by the header. ``max_side``: pixels to which an animation's pictures are
    reduced. Raises: SourceError.
    """
    if not data:
        raise SourceError(f"{name} is empty", "choose the photo again", subject=name)
    return _decode_picture_frames(io.BytesIO(data), name, max_pixels, max_frames, max_side)


def _decode_picture_frames(
    source: Path | io.BytesIO, name: str, max_pixels: int | None, max_frames: int, max_side: int = MAX_LONG_SIDE
) -> list[PhotoFrame]:
    with explain_picture_errors(name, source), open_picture(source) as opened:
        if max_pixels is not None and opened.width * opened.height > max_pixels:
            raise too_many_pixels_error(name)
        total = count_animation_frames(opened)
        if total == 1:
            reduced = load_reduced(opened)
            whole = np.array(to_rgba(reduced), np.uint8)
            frames = [PhotoFrame(np.array(to_rgb(reduced), np.uint8), cutout=whole if is_cutout(whole) else None)]
        else:
            frames = keep_clear_frames(_decode_animation(opened, total, max_frames, max_side), max_frames)
    require_photo_size(frames[0].image, name)
    return frames


def _decode_animation(opened: Pillow.Image, total: int, count: int, max_side: int) -> Iterator[PhotoFrame]:
    """``count`` pictures of an animation, spread evenly; fewer where it is damaged further on."""
    for number in _spread_evenly(min(total, MAX_COUNTED_FRAMES), count):
        try:
            with guard_parser():
                opened.seek(number)
                picture = load_reduced(opened.copy(), max_side)
        except DamagedFileError:
            if number == 0:
                raise
            return
        yield PhotoFrame(np.array(to_rgb(picture), np.uint8), f"picture {number + 1} of {total}")


def keep_clear_frames(frames: Iterable[PhotoFrame], count: int = MAX_FRAMES) -> list[PhotoFrame]:
    """The ``count`` sharpest of ``frames`` in their order, without blank ones unless all are."""
    judged = [(frame, *_measure_detail(frame.image)) for frame in frames]
    clear = [(frame, sharpness) for frame, contrast, sharpness in judged if contrast >= _MIN_CONTRAST]
    if not clear:
        return [frame for frame, _, _ in judged[:1]]
    limit = sorted((sharpness for _, sharpness in clear), reverse=True)[:count][-1]
    return [frame for frame, sharpness in clear if sharpness >= limit][:count]


def _measure_detail(image: Image) -> tuple[float, float]:
    """Contrast (standard deviation of the grey values) and sharpness (of their second derivative)."""
    picture = Pillow.fromarray(image).convert("L")
    picture.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE))
    grey = np.asarray(picture, np.float32)
    inner = grey[1:-1, 1:-1]
    detail = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(grey.std()), float(detail.std()) if detail.size else 0.0


def _spread_evenly(total: int, count: int) -> list[int]:
    """At most ``count`` different numbers from 0 to ``total`` - 1, with both ends."""
    return sorted({round(number) for number in np.linspace(0, total - 1, min(count, total))})
