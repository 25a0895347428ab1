"""The kinds of files that a film is written to, by the ends of their names: containers, encoders, transparency."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from livehead.errors import SinkError

PICTURE_SUFFIX = ".png"
DEFAULT_PICTURE_NAME = "%05d.png"
"""The names of the pictures of a sequence in a folder: the first is ``00001.png``."""

ALPHA_FORMATS = "OUT.webm, OUT.mov or frames/%05d.png"
"""The names of films that can be transparent, as a remedy says them."""

_COUNTER = re.compile(r"%0?\d*d")
_H264_CRF, _H264_WORST_CRF = 18, 51
_VP9_WORST_CRF = 63
_PRORES_QUALITY = 5  # ProRes' quantiser where x264's factor is the default one; beyond 16 blocks can be seen
_QUANTISER_UNIT = 118  # FFmpeg's FF_QP2LAMBDA


@dataclass(frozen=True, slots=True)
class VideoEncoding:
    """How pictures are encoded: FFmpeg's ``codec``, its pixel format and its options."""

    codec: str
    pixel_format: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def has_alpha(self) -> bool:
        """Tells whether the pictures keep their transparency."""
        return "yuva" in self.pixel_format


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """A container with its encoders.

    ``container`` and ``container_options`` are FFmpeg's: while it grows, the file is readable up to its last second.
    ``sound_codec`` takes sound of up to ``max_channels``.
    """

    suffix: str
    container: str
    container_options: dict[str, str]
    takes_alpha: bool
    sound_codec: str
    max_channels: int = 6

    def encode_opaque(self, crf: int = _H264_CRF, preset: str = "veryfast") -> VideoEncoding:
        """Return how pictures without alpha are encoded; ``crf`` (0 best, 51 worst) and ``preset`` are x264's."""
        if self.container == "webm":
            return VideoEncoding("libvpx-vp9", "yuv420p", _vp9_options(crf, preset))
        return VideoEncoding("libx264", "yuv420p", {"crf": str(crf), "preset": preset})

    def encode_alpha(self, crf: int = _H264_CRF, preset: str = "veryfast") -> VideoEncoding | None:
        """Return how transparent pictures are encoded; None where they are drawn over black instead."""
        if not self.takes_alpha:
            return None
        if self.container == "webm":
            # FFmpeg encodes the alpha as a picture of its own, which can be joined to none that is shown later
            return VideoEncoding("libvpx-vp9", "yuva420p", _vp9_options(crf, preset) | {"auto-alt-ref": "0"})
        quantiser = max(1, min(round(_PRORES_QUALITY * crf / _H264_CRF), 16))
        options = {"profile": "4444", "alpha_bits": "8", "flags": "+qscale"}
        return VideoEncoding(
            "prores_ks", "yuva444p10le", options | {"global_quality": str(_QUANTISER_UNIT * quantiser)}
        )


# hybrid: fragments while recording, one ordinary index once closed
_FRAGMENTED = "+hybrid_fragmented+delay_moov"
FILM_FORMATS = {
    each.suffix: each
    for each in (
        FilmFormat(".mp4", "mp4", {"movflags": f"{_FRAGMENTED}+frag_keyframe"}, takes_alpha=False, sound_codec="aac"),
        FilmFormat(".webm", "webm", {"cluster_time_limit": "1000"}, True, "libopus", max_channels=2),
        FilmFormat(".mov", "mov", {"movflags": _FRAGMENTED, "frag_duration": "1000000"}, True, "pcm_s16le"),
    )
}
"""The formats of films by the ends of their names."""


def find_film_format(path: Path) -> FilmFormat:
    """Return the format that the name of a film tells. Raises: SinkError."""
    film_format = FILM_FORMATS.get(path.suffix.lower())
    if film_format is None:
        raise SinkError(f"cannot record to {path}", _list_formats(), subject=str(path))
    return film_format


def takes_alpha(path: Path) -> bool:
    """Tell whether a film of that name keeps transparency."""
    film_format = FILM_FORMATS.get(path.suffix.lower())
    return is_picture_output(path) or (film_format is not None and film_format.takes_alpha)


def check_film_name(path: Path, *, single_picture: bool = True) -> None:
    """Check that the name of an output tells what is written: a film, a sequence of pictures, or a single one.

    ``single_picture`` False: ``OUT.png`` without a counter is refused, as more than one picture comes.
    Raises: SinkError that lists what there is.
    """
    if path.is_dir() and path.suffix.lower() in (*FILM_FORMATS, PICTURE_SUFFIX):
        raise SinkError(f"{path} is a folder", "give the name of a file", subject=str(path))
    if not is_picture_output(path):
        find_film_format(path)
    elif not single_picture and not is_picture_sequence(path):
        remedy = f"number the pictures, as {path.with_name(path.stem + '-%05d.png')}"
        raise SinkError(f"{path} holds one picture only", remedy, subject=str(path))


def is_picture_output(path: Path) -> bool:
    """Tell whether a path is one of pictures: a folder, a numbered name (``%05d.png``) or a single ``.png``."""
    return path.is_dir() or path.suffix.lower() == PICTURE_SUFFIX


def is_picture_sequence(path: Path) -> bool:
    """Tell whether a path is that of many pictures: a folder that exists, or a name with a counter such as ``%05d``."""
    return path.is_dir() or (path.suffix.lower() == PICTURE_SUFFIX and len(_COUNTER.findall(path.name)) == 1)


def picture_pattern(path: Path) -> Path:
    """Return the numbered name of the pictures of a sequence, which in a folder is ``DEFAULT_PICTURE_NAME``."""
    return path / DEFAULT_PICTURE_NAME if path.is_dir() else path


def match_picture_names(pattern: Path) -> re.Pattern[str]:
    """Return an expression that matches the names of a sequence's pictures in its folder."""
    before, after = _COUNTER.split(pattern.name)
    return re.compile(f"{re.escape(before)}\\d+{re.escape(after)}")


def _vp9_options(crf: int, preset: str) -> dict[str, str]:
    quality = round(crf * _VP9_WORST_CRF / _H264_WORST_CRF)
    effort = "8" if preset == "ultrafast" else "6"
    threads = {"row-mt": "1", "tile-columns": "2"}
    return {"deadline": "realtime", "cpu-used": effort, "crf": str(quality), "b": "0", "lag-in-frames": "0"} | threads


def _list_formats() -> str:
    return (
        "give a name that ends in .mp4, .webm or .mov, or numbered pictures as frames/%05d.png (with "
        "--background none, .webm, .mov and .png are transparent)"
    )
