"""The clips of a folder of training data: a training cache, a folder of videos, or folders of frames.

    cache/index.json                          as ``scripts/prepare_clips.py`` makes it; its own splits
    clips/NAME.mp4, clips/PERSON/NAME.mp4     videos
    frames/PERSON/CLIP/0000001.png            frames, in the order of their names
    frames/PERSON#VIDEO#BEGIN#END.mp4/*.png   as VoxCeleb is cut for FOMM and DaGAN

A folder may hold ``train`` and ``val`` (or ``test``) of the same form; without them a tenth of the persons is held out.
Only names are read until a clip is opened.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from livehead.errors import CaptureError, ConfigError
from livehead.perception.picture_files import read_picture
from livehead.training.cache import read_index

Frame = npt.NDArray[np.uint8]
"""[S, S, 3] RGB."""

_VIDEO_SUFFIXES = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_PERSONS_PER_HELD_OUT = 10  # one of so many persons is held out
_MAX_DEPTH = 3  # levels of folders below the one that is given
_DEFAULT_CACHE_BYTES = 4 << 30  # decoded video that a process keeps


@dataclass(frozen=True)
class ClipFile:
    """One clip: a video file or a folder of frames, of one ``person``."""

    name: str
    person: str
    path: Path


def find_clips(folder: Path, split: str) -> list[ClipFile]:
    """Find the clips of ``split`` (``train`` or ``val``) in the order of their names.

    Raises: ConfigError when there are no clips at all.
    """
    if (folder / "index.json").is_file():
        found = [entry for entry in read_index(folder) if entry.split == split and not entry.still]
        return [ClipFile(entry.name, _person_of(entry.name), folder / f"{entry.name}.mp4") for entry in found]
    if (folder / "train").is_dir():
        parts = {"train": ("train",), "val": ("val", "test")}[split]
        chosen = next((folder / part for part in parts if (folder / part).is_dir()), None)
        return _find_all_clips(chosen) if chosen is not None else []
    every = _find_all_clips(folder)
    persons = sorted({clip.person for clip in every})
    count = max(1, len(persons) // _PERSONS_PER_HELD_OUT) if len(persons) > 1 else 0
    held_out = set(persons[len(persons) - count :])
    return [clip for clip in every if (clip.person in held_out) == (split == "val")]


def _find_all_clips(folder: Path) -> list[ClipFile]:
    found = sorted(_walk_clips(folder, folder, 0), key=lambda clip: clip.name) if folder.is_dir() else []
    if not found:
        remedy = "give --data a training cache, a folder of videos, or one of folders of frames (docs/training.md)"
        raise ConfigError(f"no clips in {folder}", remedy, subject=str(folder))
    return found


def _walk_clips(root: Path, folder: Path, depth: int) -> Iterator[ClipFile]:
    """Yield every video below ``folder`` and every folder with pictures, without listing the pictures."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                below.append(path)
            elif path.suffix.lower() in _VIDEO_SUFFIXES:
                yield _make_clip_file(root, path)
            elif path.suffix.lower() in _PICTURE_SUFFIXES and depth > 0:
                yield _make_clip_file(root, folder)
                return
    if depth < _MAX_DEPTH:
        for path in below:
            yield from _walk_clips(root, path, depth + 1)


def _make_clip_file(root: Path, path: Path) -> ClipFile:
    parts = path.relative_to(root).parts
    return ClipFile("/".join(parts), _person_of(parts[0]), path)


def _person_of(name: str) -> str:
    return name.split("#")[0]


class DecodedClipCache:
    """Reads clips as square pictures of ``side`` pixels, and keeps decoded videos while they fit into ``max_bytes``."""

    def __init__(self, side: int, max_bytes: int = _DEFAULT_CACHE_BYTES) -> None:
        self.side, self._max_bytes = side, max_bytes
        self._videos: OrderedDict[Path, list[Frame]] = OrderedDict()

    def open_clip(self, clip: ClipFile) -> tuple[int, Callable[[int], Frame]]:
        """How many frames ``clip`` has, and a function that gives one. Raises: ConfigError when it has none."""
        if clip.path.is_dir():
            files = sorted(path for path in clip.path.iterdir() if path.suffix.lower() in _PICTURE_SUFFIXES)
            return len(files), lambda index: self._read_picture(files[index])
        frames = self._get_video(clip.path)
        return len(frames), frames.__getitem__

    def _read_picture(self, path: Path) -> Frame:
        try:
            return self._to_square(read_picture(path)[..., ::-1])
        except CaptureError as error:
            raise ConfigError(error.problem, "remove it from the training data", subject=str(path)) from error

    def _get_video(self, path: Path) -> list[Frame]:
        if path not in self._videos:
            self._videos[path] = self._decode_video(path)
            while len(self._videos) > 1 and sum(map(_count_bytes, self._videos.values())) > self._max_bytes:
                self._videos.popitem(last=False)
        self._videos.move_to_end(path)
        return self._videos[path]

    def _decode_video(self, path: Path) -> list[Frame]:
        capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
        while True:
            ok, bgr = capture.read()
            if not ok:
                break
            frames.append(self._to_square(np.asarray(bgr, np.uint8)))
        capture.release()
        if not frames:
            raise ConfigError(f"{path} is no video", "remove it from the training data", subject=str(path))
        return frames

    def _to_square(self, bgr: Frame) -> Frame:
        """The square in the middle of a BGR picture, as RGB of ``side`` pixels."""
        height, width = bgr.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = bgr[top : top + edge, left : left + edge, ::-1]
        if edge != self.side:
            how = cv2.INTER_AREA if edge > self.side else cv2.INTER_LINEAR
            square = np.asarray(cv2.resize(square, (self.side, self.side), interpolation=how), np.uint8)
        return np.ascontiguousarray(square)


def _count_bytes(frames: list[Frame]) -> int:
    return sum(frame.nbytes for frame in frames)
