"""The training cache: a folder that holds clips small enough to carry and quick enough to train from.

    index.json            format, side, clips: name, split, frames, fps, whether it is a still
    NAME.mp4              H.264, every n-th frame of the square head crop, RGB read through OpenCV
    NAME.npz              landmarks (delta-coded, see below) and the person mask

It is read with numpy and OpenCV alone, so that training runs on any machine with torch. Landmarks are the 478 points of
the face mesh with depth, x, y, z in [-1, 1] of the square (``livehead.motion.keypoints``), rounded to 1/2048 (0.06
pixels at 256) and stored as differences in time, low and high bytes apart: a third of their plain size after deflate.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from livehead.errors import ConfigError
from livehead.storage import write_atomically
from livehead.untrusted_files import DamagedFileError, parse_arrays, parse_json_object, read_untrusted

CACHE_FORMAT = 1
LANDMARK_STEPS = 2048  # steps of one unit of a landmark
MASK_SIDE = 64
_MAX_CLIP_BYTES = 1 << 31  # a minute has about twenty megabytes
_REMEDY = "run scripts/prepare_clips.py again"


@dataclass(frozen=True)
class ClipEntry:
    """One clip of the index. ``split`` is ``train`` or ``val``; a ``still`` has one frame."""

    name: str
    split: str
    frames: int
    fps: float
    still: bool


@dataclass(frozen=True, eq=False)
class CachedClip:
    """A decoded clip: ``frames`` uint8 [T, S, S, 3] RGB, ``landmarks`` [T, 478, 3], and ``masks`` uint8 [T, 64, 64].

    A mask is 255 where the person is. ``torso`` [T, 3, 2] are the points of ``livehead.motion.face.torso``, None where
    they were not tracked. Points are in [-1, 1] of the picture.
    """

    entry: ClipEntry
    frames: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    masks: npt.NDArray[np.uint8]
    torso: npt.NDArray[np.float32] | None = None


def encode_landmarks(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Landmarks [T, 478, 3] as bytes [2, T, 478, 3]: low and high byte of the rounded differences in time."""
    whole = np.rint(landmarks * LANDMARK_STEPS).clip(-32768, 32767).astype(np.int32)
    difference = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1]))
    zigzag = ((difference << 1) ^ (difference >> 31)).clip(0, 65535).astype(np.uint16)
    stored: npt.NDArray[np.uint8] = np.stack([zigzag & 255, zigzag >> 8]).astype(np.uint8)
    return stored


def decode_landmarks(stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The landmarks [T, 478, 3] of ``encode_landmarks``, to within half a step."""
    zigzag = stored[0].astype(np.int32) | (stored[1].astype(np.int32) << 8)
    difference = (zigzag >> 1) ^ -(zigzag & 1)
    landmarks: npt.NDArray[np.float32] = (np.cumsum(difference, axis=0) / LANDMARK_STEPS).astype(np.float32)
    return landmarks


def write_index(folder: Path, side: int, entries: list[ClipEntry]) -> None:
    """Write ``index.json`` last: a cache without it is unfinished."""
    document = {"format": CACHE_FORMAT, "side": side, "clips": [asdict(entry) for entry in entries]}
    write_atomically(folder / "index.json", json.dumps(document, indent=1))


def read_index(folder: Path) -> list[ClipEntry]:
    """The clips of a cache. Raises: ConfigError when ``folder`` is not a finished cache of this format."""
    path = folder / "index.json"
    if not path.is_file():
        raise ConfigError(
            f"{folder} is not a training cache", "make one with scripts/prepare_clips.py", subject=str(path)
        )

    def parse_entries(content: bytes) -> list[ClipEntry]:
        document = parse_json_object(content)
        if document["format"] != CACHE_FORMAT:
            raise ConfigError(f"{folder} has cache format {document['format']}", _REMEDY)
        return [ClipEntry(**entry) for entry in document["clips"]]

    try:
        return read_untrusted(path, parse_entries, max_bytes=_MAX_CLIP_BYTES)
    except (OSError, DamagedFileError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", _REMEDY, subject=str(path)) from error


def read_clip(folder: Path, entry: ClipEntry) -> CachedClip:
    """Decode one clip into memory. Raises: ConfigError when a file is missing or short."""
    capture = cv2.VideoCapture(str(folder / f"{entry.name}.mp4"), cv2.CAP_FFMPEG)
    frames = []
    while True:
        ok, bgr = capture.read()
        if not ok:
            break
        frames.append(bgr[..., ::-1])
    capture.release()
    if len(frames) != entry.frames:
        raise ConfigError(f"{entry.name}.mp4 has {len(frames)} frames, the index says {entry.frames}", _REMEDY)
    landmarks, masks = read_tracks(folder, entry)
    return CachedClip(entry, np.ascontiguousarray(np.stack(frames)), landmarks, masks * np.uint8(17))


def read_tracks(folder: Path, entry: ClipEntry) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return a clip's landmarks [T, 478, 3] and its masks as they are stored, in 16 steps. Raises: ConfigError."""
    path = folder / f"{entry.name}.npz"

    def parse_tracks(content: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        stored = parse_arrays(content, max_bytes=_MAX_CLIP_BYTES)
        return decode_landmarks(stored["landmarks"]), stored["masks"]

    try:
        return read_untrusted(path, parse_tracks, max_bytes=_MAX_CLIP_BYTES)
    except (OSError, DamagedFileError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", _REMEDY, subject=str(path)) from error
