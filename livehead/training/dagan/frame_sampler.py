"""Training samples of the published DaGAN, which are pictures alone: pairs of one clip, and triplets of neighbours.

A batch depends on its seed (seed, rank, step) alone, so that a resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from livehead.errors import ConfigError
from livehead.training.clip_files import ClipFile, DecodedClipCache, Frame, find_clips
from livehead.training.dagan.color_jitter import ColorJitter, Pictures

_PAIR_JITTER = ColorJitter(0.1, 0.1, 0.1, 0.1)
_TRIPLET_JITTER = ColorJitter(0.2, 0.2, 0.2, 0.1)


class FramePairBatch(NamedTuple):
    """``source`` and ``driving`` [B, 3, S, S] RGB in [0, 1]: two frames of one clip, the earlier one first."""

    source: Tensor
    driving: Tensor

    def to(self, device: torch.device) -> FramePairBatch:
        """The same batch on ``device``."""
        return FramePairBatch(*(part.to(device) for part in self))


class FrameTripletBatch(NamedTuple):
    """Three neighbours, [B, 3, 3, S, S] RGB in [0, 1], in the order of time; the second axis is time.

    ``original`` are the frames as they are, ``augmented`` those with changed colours, which the networks are shown.
    """

    original: Tensor
    augmented: Tensor

    def to(self, device: torch.device) -> FrameTripletBatch:
        """The same batch on ``device``."""
        return FrameTripletBatch(*(part.to(device) for part in self))


class FrameSampler:
    """Samples frames of the clips of one split at ``side`` pixels.

    It draws a person, then one of the person's clips, then frames of that clip. Of ``world_size`` processes each takes
    every ``world_size``-th person; ``persons`` counts those of all processes together.
    """

    def __init__(self, folder: Path, split: str, side: int, rank: int = 0, world_size: int = 1) -> None:
        self.clips = find_clips(folder, split)
        by_person: dict[str, list[ClipFile]] = {}
        for clip in self.clips:
            by_person.setdefault(clip.person, []).append(clip)
        self.persons = len(by_person)
        if split == "train" and not by_person:
            raise ConfigError(f"{folder} has no clips to train on", "put some in its train split", subject=str(folder))
        groups = list(by_person.values())
        self._clips_by_person = groups[rank::world_size] if len(groups) >= world_size else groups
        self._clip_cache = DecodedClipCache(side)

    def sample_pairs(self, size: int, seed: tuple[int, ...]) -> FramePairBatch:
        """Draw ``size`` pairs of frames of one clip each, with replacement and changed colours.

        Half of them are in reverse order, and half of the others are mirrored.
        """
        rng = np.random.default_rng(seed)
        samples = [
            _PAIR_JITTER.apply(_to_float(_reverse_or_mirror(self._draw_pair(rng), rng)), rng) for _ in range(size)
        ]
        frames = _to_nchw(np.stack(samples))
        return FramePairBatch(frames[:, 0].contiguous(), frames[:, 1].contiguous())

    def sample_triplets(self, size: int, seed: tuple[int, ...]) -> FrameTripletBatch:
        """Draw ``size`` frames between their neighbours; half of them are mirrored, half have changed colours."""
        rng = np.random.default_rng(seed)
        plain, seen = [], []
        for _ in range(size):
            frames = _to_float(_mirror_frames(self._draw_triplet(rng), rng.random() < 0.5))
            plain.append(frames)
            seen.append(_TRIPLET_JITTER.apply(frames, rng) if rng.random() < 0.5 else frames)
        return FrameTripletBatch(_to_nchw(np.stack(plain)), _to_nchw(np.stack(seen)))

    def held_out_pairs(self, frames: int, clips: int) -> list[tuple[str, FramePairBatch]]:
        """Give of each of the first ``clips`` its name, and its first frame with ``frames`` more, evenly spread.

        This is the protocol of ``livehead evaluate``.
        """
        chosen = []
        for clip in self.clips[:clips]:
            count, frame = self._clip_cache.open_clip(clip)
            where = np.linspace(min(1, count - 1), count - 1, min(frames, max(count - 1, 1))).round().astype(int)
            driving = _to_nchw(_to_float([frame(int(index)) for index in where]))
            chosen.append((clip.name, FramePairBatch(_to_nchw(_to_float([frame(0)])).expand_as(driving), driving)))
        return chosen

    def held_out_triplets(self, frames: int, clips: int) -> list[tuple[str, FrameTripletBatch]]:
        """Give of each of the first ``clips`` its name, and ``frames`` triplets evenly spread, in unchanged colours."""
        chosen = []
        for clip in self.clips[:clips]:
            count, frame = self._clip_cache.open_clip(clip)
            middles = np.linspace(min(1, count - 1), max(count - 2, 0), frames).round().astype(int)
            each = [_to_float([frame(i) for i in _neighbour_indices(int(middle), count)]) for middle in middles]
            plain = _to_nchw(np.stack(each))
            chosen.append((clip.name, FrameTripletBatch(plain, plain)))
        return chosen

    def _draw_clip(self, rng: np.random.Generator) -> ClipFile:
        group = self._clips_by_person[rng.integers(len(self._clips_by_person))]
        return group[rng.integers(len(group))]

    def _draw_pair(self, rng: np.random.Generator) -> list[Frame]:
        count, frame = self._clip_cache.open_clip(self._draw_clip(rng))
        return [frame(int(index)) for index in np.sort(rng.integers(count, size=2))]

    def _draw_triplet(self, rng: np.random.Generator) -> list[Frame]:
        count, frame = self._clip_cache.open_clip(self._draw_clip(rng))
        middle = int(rng.integers(1, count - 1)) if count > 2 else count // 2
        return [frame(index) for index in _neighbour_indices(middle, count)]


def _neighbour_indices(middle: int, count: int) -> list[int]:
    """The indices of a frame and its neighbours.

    A clip of fewer than three frames repeats one: nothing moves there, and the auto-mask leaves it out.
    """
    return [max(middle - 1, 0), middle, min(middle + 1, count - 1)]


def _reverse_or_mirror(frames: list[Frame], rng: np.random.Generator) -> list[Frame]:
    reverse, mirror = rng.random(2) < 0.5
    return frames[::-1] if reverse else _mirror_frames(frames, bool(mirror))


def _mirror_frames(frames: list[Frame], mirror: bool) -> list[Frame]:
    return [frame[:, ::-1] for frame in frames] if mirror else frames


def _to_float(frames: list[Frame]) -> Pictures:
    return np.stack(frames).astype(np.float32) / 255


def _to_nchw(pictures: Pictures) -> Tensor:
    """[..., S, S, 3] to [..., 3, S, S]."""
    return torch.from_numpy(pictures).movedim(-1, -3).contiguous()
