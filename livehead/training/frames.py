"""Training samples of pictures alone, as the published DaGAN is trained: pairs of one clip, and triplets of neighbours.

Every batch is a function of (seed, rank, step) alone, so a resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from livehead.errors import ConfigError
from livehead.training.footage import Footage, Frame, Shelf, find_footage
from livehead.training.jitter import Jitter

_OF_PAIRS = Jitter(0.1, 0.1, 0.1, 0.1)
_OF_TRIPLETS = Jitter(0.2, 0.2, 0.2, 0.1)


class Pair(NamedTuple):
    """``source`` and ``driving`` [B, 3, S, S] RGB in [0, 1]: two frames of one clip, the earlier one first."""

    source: Tensor
    driving: Tensor

    def to(self, device: torch.device) -> Pair:
        """The same on ``device``."""
        return Pair(*(part.to(device) for part in self))


class Triplet(NamedTuple):
    """Three neighbours, [B, 3, 3, S, S] RGB in [0, 1], in the order of time; the second axis is time.

    ``plain`` as they are, ``seen`` with other colours: what the networks look at.
    """

    plain: Tensor
    seen: Tensor

    def to(self, device: torch.device) -> Triplet:
        """The same on ``device``."""
        return Triplet(*(part.to(device) for part in self))


class FrameSource:
    """Clips of one split at ``side``; of several processes each takes every ``world``-th person.

    A person is drawn, one of the person's clips, frames of that clip. ``persons``: of all processes together.
    """

    def __init__(self, folder: Path, split: str, side: int, rank: int = 0, world: int = 1) -> None:
        self.clips = find_footage(folder, split)
        by_person: dict[str, list[Footage]] = {}
        for clip in self.clips:
            by_person.setdefault(clip.person, []).append(clip)
        self.persons = len(by_person)
        if split == "train" and not by_person:
            raise ConfigError(f"{folder} has no clips to train on", "put some in its train split", subject=str(folder))
        groups = list(by_person.values())
        self._groups = groups[rank::world] if len(groups) >= world else groups
        self._shelf = Shelf(side)

    def pairs(self, size: int, seed: tuple[int, ...]) -> Pair:
        """Two frames of a clip, drawn with replacement; half of them in reverse, else half mirrored; other colours."""
        rng = np.random.default_rng(seed)
        samples = [_OF_PAIRS.apply(_floats(_shuffled(self._two(rng), rng)), rng) for _ in range(size)]
        frames = _planes(np.stack(samples))
        return Pair(frames[:, 0].contiguous(), frames[:, 1].contiguous())

    def triplets(self, size: int, seed: tuple[int, ...]) -> Triplet:
        """A frame between its neighbours; half of them mirrored, half with other colours."""
        rng = np.random.default_rng(seed)
        plain, seen = [], []
        for _ in range(size):
            frames = _floats(_mirrored(self._three(rng), rng.random() < 0.5))
            plain.append(frames)
            seen.append(_OF_TRIPLETS.apply(frames, rng) if rng.random() < 0.5 else frames)
        return Triplet(_planes(np.stack(plain)), _planes(np.stack(seen)))

    def held_out(self, frames: int, clips: int) -> list[tuple[str, Pair]]:
        """Of the first ``clips``: the first frame, and ``frames`` more evenly spread: the protocol of ``evaluate``."""
        chosen = []
        for clip in self.clips[:clips]:
            count, frame = self._shelf.open(clip)
            where = np.linspace(min(1, count - 1), count - 1, min(frames, max(count - 1, 1))).round().astype(int)
            driving = _planes(_floats([frame(int(index)) for index in where]))
            chosen.append((clip.name, Pair(_planes(_floats([frame(0)])).expand_as(driving), driving)))
        return chosen

    def held_out_triplets(self, frames: int, clips: int) -> list[tuple[str, Triplet]]:
        """Of the first ``clips``: ``frames`` triplets evenly spread, colours as they are."""
        chosen = []
        for clip in self.clips[:clips]:
            count, frame = self._shelf.open(clip)
            middles = np.linspace(min(1, count - 1), max(count - 2, 0), frames).round().astype(int)
            each = [_floats([frame(i) for i in _neighbours(int(middle), count)]) for middle in middles]
            plain = _planes(np.stack(each))
            chosen.append((clip.name, Triplet(plain, plain)))
        return chosen

    def _clip(self, rng: np.random.Generator) -> Footage:
        group = self._groups[rng.integers(len(self._groups))]
        return group[rng.integers(len(group))]

    def _two(self, rng: np.random.Generator) -> list[Frame]:
        count, frame = self._shelf.open(self._clip(rng))
        return [frame(int(index)) for index in np.sort(rng.integers(count, size=2))]

    def _three(self, rng: np.random.Generator) -> list[Frame]:
        count, frame = self._shelf.open(self._clip(rng))
        middle = int(rng.integers(1, count - 1)) if count > 2 else count // 2
        return [frame(index) for index in _neighbours(middle, count)]


def _neighbours(middle: int, count: int) -> list[int]:
    """A clip of fewer than three frames repeats one: nothing moves there, and the auto-mask leaves it out."""
    return [max(middle - 1, 0), middle, min(middle + 1, count - 1)]


def _shuffled(frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
    reverse, mirror = rng.random(2) < 0.5
    return frames[::-1] if reverse else _mirrored(frames, bool(mirror))


def _mirrored(frames: list[Frame], mirror: bool) -> list[Frame]:
    return [frame[:, ::-1] for frame in frames] if mirror else frames


def _floats(frames: list[Frame]) -> np.ndarray:
    return np.stack(frames).astype(np.float32) / 255


def _planes(pictures: np.ndarray) -> Tensor:
    """[..., S, S, 3] to [..., 3, S, S]."""
    return torch.from_numpy(pictures).movedim(-1, -3).contiguous()
