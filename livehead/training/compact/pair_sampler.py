"""Training samples: two pictures of one person, the first to be moved to look like the second.

Every batch is a function of (seed, rank, step) alone, so a resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from livehead.models.compact.face_surface import load_mean_face
from livehead.models.compact.motion_prior import TorsoMotion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import mesh_keypoints
from livehead.perception.torso_tracker import TorsoTracker
from livehead.training.cache import CachedClip, ClipEntry, read_clip, read_index

_STILL_SHARE = 0.04  # of the samples are photos: nothing moves
_FAR_SHARE = 0.4  # of the pairs are the farthest apart of a few
_MOUTH_SHARE = 0.35  # are those of a few whose mouths are opened the most differently
_FAR_CANDIDATES = 5
_MIRRORED_TORSO = [0, 2, 1]
_NO_TORSO_SHARE = 0.3  # of the pairs come without the torso, as from a voice
_INNER_LIP_POINTS = (13, 14)  # the inner lips' middles


class PairBatch(NamedTuple):
    """Pictures [B, 3, S, S] RGB in [0, 1], person mask [B, 1, S, S] of the source, meshes [B, 478, 3].

    Points of the torso [B, 3, 2], and whether they are known [B].
    """

    source: Tensor
    mask: Tensor
    source_points: Tensor
    target: Tensor
    target_points: Tensor
    source_torso: Tensor
    target_torso: Tensor
    torso_known: Tensor

    @property
    def torso(self) -> TorsoMotion:
        """What a driver would know of it."""
        return TorsoMotion(self.target_torso, self.source_torso, self.torso_known)


@dataclass(frozen=True)
class AugmentationRanges:
    """Ranges: zoom, turn in degrees, shift as a share of the side, and how far gain, bias, gamma and tint may stray."""

    zoom: tuple[float, float] = (0.9, 1.25)
    turn: float = 8.0
    shift: float = 0.08
    colour: float = 0.15


class PairSampler:
    """Decoded clips of one split at ``side``; with several processes each holds every ``world``-th clip."""

    def __init__(self, folder: Path, split: str, side: int, rank: int = 0, world_size: int = 1) -> None:
        chosen = [entry for entry in read_index(folder) if entry.split == split]
        self.side = side
        self._video_clips = [
            _load_clip(folder, entry, side) for entry in [e for e in chosen if not e.still][rank::world_size]
        ]
        self._still_clips = [
            _load_clip(folder, entry, side) for entry in [e for e in chosen if e.still][rank::world_size]
        ]
        weights = np.sqrt([len(clip.frames) for clip in self._video_clips])
        self._clip_probabilities = weights / weights.sum()
        self._mirrored_indices = load_mean_face()[1]

    def sample_batch(self, size: int, augmentation: AugmentationRanges, seed: tuple[int, ...]) -> PairBatch:
        """``size`` pairs, the same ones for the same ``seed``."""
        rng = np.random.default_rng(seed)
        return _collate_pairs([self._draw_pair(augmentation, rng) for _ in range(size)])

    def held_out_batches(self, frames: int) -> list[tuple[str, PairBatch]]:
        """Per clip its first frame and ``frames`` targets evenly spread over the rest: the protocol of ``evaluate``."""
        batches = []
        for clip in self._video_clips:
            where = np.linspace(1, len(clip.frames) - 1, frames).round().astype(int)
            batches.append((clip.entry.name, _collate_pairs([_make_pair(clip, 0, i) for i in where])))
        return batches

    def _draw_pair(self, augmentation: AugmentationRanges, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        if self._still_clips and rng.random() < _STILL_SHARE:
            clip, first, second = self._still_clips[rng.integers(len(self._still_clips))], 0, 0
        else:
            clip = self._video_clips[rng.choice(len(self._video_clips), p=self._clip_probabilities)]
            first, second = _choose_frames(clip.landmarks, rng)
        return self._augment_pair(_make_pair(clip, first, second, rng.random() >= _NO_TORSO_SHARE), augmentation, rng)

    def _augment_pair(self, pair: tuple[np.ndarray, ...], ranges: AugmentationRanges, rng: np.random.Generator):
        source, mask, source_points, target, target_points, *torsos, known = pair
        flip = rng.random() < 0.5
        zoom, turn = rng.uniform(*ranges.zoom), np.deg2rad(rng.uniform(-ranges.turn, ranges.turn))
        shift = rng.uniform(-1, 1, 2) * 2 * ranges.shift
        linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        if flip:
            linear = linear @ np.diag([-1.0, 1.0])
        # from [-1, 1] to pixels: p = ((v + 1) * side - 1) / 2
        middle = (self.side - 1) / 2
        matrix = np.column_stack([linear, middle + shift * self.side / 2 - linear @ np.array([middle, middle])])
        colour = _colour_table(ranges.colour, rng)

        def picture(image: np.ndarray) -> np.ndarray:
            moved = cv2.warpAffine(
                image, matrix, (self.side,) * 2, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            return cv2.LUT(moved, colour)

        def points(mesh: np.ndarray) -> np.ndarray:
            moved = np.column_stack([mesh[:, :2] @ linear.T + shift, mesh[:, 2] * zoom]).astype(np.float32)
            return moved[self._mirrored_indices] if flip else moved

        def plane(torso: np.ndarray) -> np.ndarray:
            moved = (torso @ linear.T + shift).astype(np.float32)
            return moved[_MIRRORED_TORSO] if flip else moved

        mask = cv2.warpAffine(mask, matrix, (self.side,) * 2, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        faces = picture(source), mask, points(source_points), picture(target), points(target_points)
        return *faces, *map(plane, torsos), known


def _choose_frames(landmarks: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Two frames of a clip: often far apart in pose or in how far the mouth is open, else any two."""
    first = int(rng.integers(len(landmarks)))
    kind = rng.random()
    if kind >= _FAR_SHARE + _MOUTH_SHARE:
        return first, int(rng.integers(len(landmarks)))
    others = rng.integers(len(landmarks), size=_FAR_CANDIDATES)
    if kind < _FAR_SHARE:
        apart = ((landmarks[others] - landmarks[first]) ** 2).sum(axis=(1, 2))
    else:
        apart = np.abs(_mouth_opening(landmarks[others]) - _mouth_opening(landmarks[first][None]))
    return first, int(others[apart.argmax()])


def _mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """How far mouths of meshes [T, 478, 3] are open, in units of the face's height: [T]."""
    inner = np.linalg.norm(landmarks[:, _INNER_LIP_POINTS[0], :2] - landmarks[:, _INNER_LIP_POINTS[1], :2], axis=1)
    return inner / np.linalg.norm(landmarks[:, FACE_MESH.chin, :2] - landmarks[:, FACE_MESH.forehead, :2], axis=1)


def _load_clip(folder: Path, entry: ClipEntry, side: int) -> CachedClip:
    clip = read_clip(folder, entry)
    clip = replace(clip, torso=track_torso(clip))
    if clip.frames.shape[1] == side:
        return clip
    frames = np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in clip.frames])
    return replace(clip, frames=frames)


def track_torso(clip: CachedClip) -> np.ndarray | None:
    """The torso's points [T, 3, 2] as a driver would have followed them; None where it cannot be."""
    tracker = TorsoTracker()
    followed = [
        tracker.track(frame, mesh_keypoints(mesh, 1.0, 0))
        for frame, mesh in zip(clip.frames, clip.landmarks, strict=True)
    ]
    known = [each for each in followed if each is not None]
    return np.concatenate(known) if len(known) == len(followed) else None


def _make_pair(clip: CachedClip, first: int, second: int, with_torso: bool = True) -> tuple[np.ndarray, ...]:
    """Two frames of a clip, and the torso's two places, if it is ``told`` and was followed."""
    side = clip.frames.shape[1]
    mask = cv2.resize(clip.masks[first], (side, side), interpolation=cv2.INTER_LINEAR)
    faces = clip.frames[first], mask, clip.landmarks[first], clip.frames[second], clip.landmarks[second]
    if not with_torso or clip.torso is None:
        rest = rest_torso_points(clip.landmarks[first])
        return *faces, rest, rest, np.float32(0)
    return *faces, clip.torso[first], clip.torso[second], np.float32(1)


def _colour_table(strength: float, rng: np.random.Generator) -> np.ndarray:
    """One look-up table [256, 1, 3] uint8 for both pictures of a pair: gain, bias, gamma, and a tint."""
    gain, gamma = 1 + strength * rng.uniform(-1, 1), np.exp(strength * rng.uniform(-1, 1))
    bias, tint = strength / 2 * rng.uniform(-1, 1), 1 + strength / 3 * rng.uniform(-1, 1, 3)
    level = (np.arange(256) / 255.0)[:, None] ** gamma
    return np.rint(((level - 0.5) * gain + 0.5 + bias) * tint * 255).clip(0, 255).astype(np.uint8)[:, None]


def _collate_pairs(pairs: list[tuple[np.ndarray, ...]]) -> PairBatch:
    def pictures(column: int) -> Tensor:
        stacked = torch.from_numpy(np.stack([pair[column] for pair in pairs]))
        stacked = stacked[..., None] if stacked.ndim == 3 else stacked
        return stacked.permute(0, 3, 1, 2).contiguous().float() / 255

    def numbers(column: int) -> Tensor:
        return torch.from_numpy(np.stack([pair[column] for pair in pairs])).float()

    return PairBatch(pictures(0), pictures(1), numbers(2), pictures(3), numbers(4), numbers(5), numbers(6), numbers(7))
