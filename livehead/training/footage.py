"""Moving pictures to learn from, wherever they lie: a training cache, a folder of videos, or folders of frames.

    cache/index.json                          as ``scripts/prepare_clips.py`` makes it; its own splits
    clips/NAME.mp4, clips/PERSON/NAME.mp4     videos
    frames/PERSON/CLIP/0000001.png            frames, in the order of their names
    frames/PERSON#VIDEO#BEGIN#END.mp4/*.png   as VoxCeleb is cut for FOMM and DaGAN

A folder may hold ``train`` and ``val`` (or ``test``) of the same form; without them a tenth of the persons is held out.
Nothing but names is read before a clip is asked for.
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

from livehead.errors import ConfigError
from livehead.training.cache import read_index

Frame = npt.NDArray[np.uint8]
"""[S, S, 3] RGB."""

_VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}
_PICTURES = {".png", ".jpg", ".jpeg"}
_HELD_OUT = 10  # one of so many persons
_DEEPEST = 3  # folders below the one that is given
_BUDGET = 4 << 30  # bytes of decoded video that a process keeps


@dataclass(frozen=True)
class Footage:
    """One clip: a video file or a folder of frames, of one ``person``."""

    name: str
    person: str
    path: Path


def find_footage(folder: Path, split: str) -> list[Footage]:
    """The clips of ``split`` (``train`` or ``val``), in the order of their names.

    Raises: ConfigError when there are no clips at all.
    """
    if (folder / "index.json").is_file():
        found = [entry for entry in read_index(folder) if entry.split == split and not entry.still]
        return [Footage(entry.name, _person(entry.name), folder / f"{entry.name}.mp4") for entry in found]
    if (folder / "train").is_dir():
        parts = {"train": ("train",), "val": ("val", "test")}[split]
        chosen = next((folder / part for part in parts if (folder / part).is_dir()), None)
        return _all(chosen) if chosen is not None else []
    every = _all(folder)
    persons = sorted({clip.person for clip in every})
    count = max(1, len(persons) // _HELD_OUT) if len(persons) > 1 else 0
    held_out = set(persons[len(persons) - count :])
    return [clip for clip in every if (clip.person in held_out) == (split == "val")]


def _all(folder: Path) -> list[Footage]:
    found = sorted(_walk(folder, folder, 0), key=lambda clip: clip.name) if folder.is_dir() else []
    if not found:
        remedy = "give --data a training cache, a folder of videos, or one of folders of frames (docs/training.md)"
        raise ConfigError(f"no clips in {folder}", remedy, subject=str(folder))
    return found


def _walk(root: Path, folder: Path, depth: int) -> Iterator[Footage]:
    """Every video below ``root`` and every folder with pictures, found without listing the pictures."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                below.append(path)
            elif path.suffix.lower() in _VIDEOS:
                yield _clip(root, path)
            elif path.suffix.lower() in _PICTURES and depth > 0:
                yield _clip(root, folder)
                return
    if depth < _DEEPEST:
        for path in below:
            yield from _walk(root, path, depth + 1)


def _clip(root: Path, path: Path) -> Footage:
    parts = path.relative_to(root).parts
    return Footage("/".join(parts), _person(parts[0]), path)


def _person(name: str) -> str:
    return name.split("#")[0]


class Shelf:
    """Clips as square pictures of ``side``; decoded videos stay at hand while they fit into ``budget`` bytes."""

    def __init__(self, side: int, budget: int = _BUDGET) -> None:
        self.side, self._budget = side, budget
        self._videos: OrderedDict[Path, list[Frame]] = OrderedDict()

    def open(self, clip: Footage) -> tuple[int, Callable[[int], Frame]]:
        """How many frames ``clip`` has, and a function that gives one. Raises: ConfigError when it has none."""
        if clip.path.is_dir():
            files = sorted(path for path in clip.path.iterdir() if path.suffix.lower() in _PICTURES)
            return len(files), lambda index: self._picture(files[index])
        frames = self._video(clip.path)
        return len(frames), frames.__getitem__

    def _picture(self, path: Path) -> Frame:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ConfigError(f"{path} is no picture", "remove it from the training data", subject=str(path))
        return self._square(bgr)

    def _video(self, path: Path) -> list[Frame]:
        if path not in self._videos:
            self._videos[path] = self._decode(path)
            while len(self._videos) > 1 and sum(map(_bytes, self._videos.values())) > self._budget:
                self._videos.popitem(last=False)
        self._videos.move_to_end(path)
        return self._videos[path]

    def _decode(self, path: Path) -> list[Frame]:
        capture, frames = cv2.VideoCapture(str(path)), []
        while True:
            ok, bgr = capture.read()
            if not ok:
                break
            frames.append(self._square(bgr))
        capture.release()
        if not frames:
            raise ConfigError(f"{path} is no video", "remove it from the training data", subject=str(path))
        return frames

    def _square(self, bgr: Frame) -> Frame:
        """The square in the middle, RGB, of our size."""
        height, width = bgr.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = bgr[top : top + edge, left : left + edge, ::-1]
        if edge != self.side:
            how = cv2.INTER_AREA if edge > self.side else cv2.INTER_LINEAR
            square = cv2.resize(square, (self.side, self.side), interpolation=how)
        return np.ascontiguousarray(square)


def _bytes(frames: list[Frame]) -> int:
    return sum(frame.nbytes for frame in frames)
