"""Lists of pairs of frames, as DaGAN and FOMM publish them for VoxCeleb and CelebV.

A list is a CSV file with the columns ``source`` and ``driving``; others are ignored. Each names a frame,
``CLIP.mp4/0000013.png``, below some folder of the list's author, so that it is looked for by its last parts. Where the
clip is a video, the frame of that number is meant; frames are counted from 0.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from livehead.errors import CaptureError, ConfigError
from livehead.evaluation.clips import crop_square, read_frames
from livehead.frames import Image
from livehead.perception.picture_files import read_picture

_LIST_REMEDY = "give a CSV file with the columns source and driving, and the folder that holds their frames"


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A picture file, or frame number ``index`` of a video."""

    path: Path
    index: int | None = None

    @property
    def name(self) -> str:
        """The frame's name, ``CLIP/0000013``, for a picture file and for a video alike."""
        number = self.path.stem if self.index is None else f"{self.index:07d}"
        return f"{self.path.parent.name if self.index is None else self.path.name}/{number}"

    def read(self, side: int) -> Image:
        """Read the frame, scaled, the square in its middle: uint8 [side, side, 3] RGB. Raises: CaptureError."""
        if self.index is not None:
            frames = read_frames(self.path, [self.index], side)
            if self.index not in frames:
                raise CaptureError(f"{self.path} has no frame {self.index}", "is it the clip that the list means?")
            return frames[self.index]
        return crop_square(read_picture(self.path), side)


@dataclass(frozen=True, slots=True)
class FramePair:
    """The source and the driving frame that one line of a list names."""

    source: FrameRef
    driving: FrameRef

    @property
    def name(self) -> str:
        """The pair's name, ``SOURCE by DRIVING``."""
        return f"{self.source.name} by {self.driving.name}"


def read_pairs(path: Path, folder: Path) -> list[FramePair]:
    """The pairs of the list ``path``, whose frames lie in ``folder``.

    Raises: ConfigError when the list cannot be read, is empty, or names a frame that is not there.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [(row["source"], row["driving"]) for row in csv.DictReader(lines)]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise ConfigError(f"cannot read the pairs of {path} ({error})", _LIST_REMEDY, subject=str(path)) from error
    if not rows:
        raise ConfigError(f"{path} lists no pairs", _LIST_REMEDY, subject=str(path))
    return [
        FramePair(_find_frame(folder, source, path), _find_frame(folder, driving, path)) for source, driving in rows
    ]


def _find_frame(folder: Path, named: str | None, path: Path) -> FrameRef:
    """The frame by as many of its last parts as fit, or of the video that has its folder's name."""
    parts = PurePosixPath(named or "").parts
    for start in range(len(parts)):
        below = folder.joinpath(*parts[start:]) if parts[start] != "/" else Path(*parts)
        if below.is_file():
            return FrameRef(below)
        if below.parent.is_file() and below.stem.isdecimal():
            return FrameRef(below.parent, int(below.stem))
    raise ConfigError(f"{named or 'nothing'}, a frame of {path}, is not in {folder}", _LIST_REMEDY, subject=named or "")
