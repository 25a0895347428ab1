"""Training samples of ``compact``: two pictures of one person, of which the first is moved to look like the second.

A batch depends on its seed (seed, rank, step) alone, so that a resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from livehead.frames import Image
from livehead.models.compact.motion_prior import TorsoMotion
from livehead.motion.face.mean_face import load_mirror_indices
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Array, mesh_keypoints
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
    """A batch of pairs: pictures [B, 3, S, S] RGB in [0, 1], the source's person mask [B, 1, S, S] in [0, 1], meshes
    [B, 478, 3] and torso points [B, 3, 2] in [-1, 1] of the picture, and whether the torso is known [B]."""

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
        """The torso's motion from source to target as a driver would tell it."""
        return TorsoMotion(self.target_torso, self.source_torso, self.torso_known)

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on ``device``."""
        return PairBatch(*(part.to(device) for part in self))


class _FramePair(NamedTuple):
    """One pair before it becomes part of a batch: pictures uint8 [S, S, 3], mask uint8 [S, S], points as above."""

    source: Image
    mask: Image
    source_points: Array
    target: Image
    target_points: Array
    source_torso: Array
    target_torso: Array
    torso_known: np.float32


@dataclass(frozen=True)
class AugmentationRanges:
    """Ranges of ``zoom``, ``turn`` in degrees, ``shift`` as a share of the side, and ``colour`` (gain, bias, tint)."""

    zoom: tuple[float, float] = (0.9, 1.25)
    turn: float = 8.0
    shift: float = 0.08
    colour: float = 0.15


class PairSampler:
    """Samples pairs from the decoded clips of one split at ``side`` pixels.

    Of ``world_size`` processes each holds every ``world_size``-th clip.
    """

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
        self._mirrored_indices = load_mirror_indices()

    def sample_batch(self, size: int, augmentation: AugmentationRanges, seed: tuple[int, ...]) -> PairBatch:
        """Draw ``size`` pairs, the same ones for the same ``seed``."""
        rng = np.random.default_rng(seed)
        return _collate_pairs([self._draw_pair(augmentation, rng) for _ in range(size)])

    def held_out_batches(self, frames: int) -> list[tuple[str, PairBatch]]:
        """Give for each clip its name, and its first frame with ``frames`` targets evenly spread over the rest.

        This is the protocol of ``livehead evaluate``.
        """
        batches = []
        for clip in self._video_clips:
            where = np.linspace(1, len(clip.frames) - 1, frames).round().astype(int)
            batches.append((clip.entry.name, _collate_pairs([_make_pair(clip, 0, i) for i in where])))
        return batches

    def _draw_pair(self, augmentation: AugmentationRanges, rng: np.random.Generator) -> _FramePair:
        if self._still_clips and rng.random() < _STILL_SHARE:
            clip, first, second = self._still_clips[rng.integers(len(self._still_clips))], 0, 0
        else:
            clip = self._video_clips[rng.choice(len(self._video_clips), p=self._clip_probabilities)]
            first, second = _choose_frames(clip.landmarks, rng)
        return self._augment_pair(_make_pair(clip, first, second, rng.random() >= _NO_TORSO_SHARE), augmentation, rng)

    def _augment_pair(self, pair: _FramePair, ranges: AugmentationRanges, rng: np.random.Generator) -> _FramePair:
        """Zoom, turn, shift, perhaps mirror and recolour both pictures of a pair alike, and their points with them."""
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

        def warp(image: Image) -> Image:
            size = (self.side, self.side)
            moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(moved, np.uint8)

        def recolour(image: Image) -> Image:
            return np.asarray(cv2.LUT(warp(image), colour), np.uint8)

        def move_mesh(mesh: Array) -> Array:
            moved = np.column_stack([mesh[:, :2] @ linear.T + shift, mesh[:, 2] * zoom]).astype(np.float32)
            return moved[self._mirrored_indices] if flip else moved

        def move_torso(torso: Array) -> Array:
            moved = np.asarray(torso @ linear.T + shift, np.float32)
            return moved[_MIRRORED_TORSO] if flip else moved

        return _FramePair(
            source=recolour(pair.source),
            mask=warp(pair.mask),
            source_points=move_mesh(pair.source_points),
            target=recolour(pair.target),
            target_points=move_mesh(pair.target_points),
            source_torso=move_torso(pair.source_torso),
            target_torso=move_torso(pair.target_torso),
            torso_known=pair.torso_known,
        )


def _choose_frames(landmarks: Array, rng: np.random.Generator) -> tuple[int, int]:
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


def _mouth_opening(landmarks: Array) -> Array:
    """How far the mouths of meshes [T, 478, 3] are open, in heights of the face: [T]."""
    inner = np.linalg.norm(landmarks[:, _INNER_LIP_POINTS[0], :2] - landmarks[:, _INNER_LIP_POINTS[1], :2], axis=1)
    height = np.linalg.norm(landmarks[:, FACE_MESH.chin, :2] - landmarks[:, FACE_MESH.forehead, :2], axis=1)
    return np.asarray(inner / height, np.float32)


def _load_clip(folder: Path, entry: ClipEntry, side: int) -> CachedClip:
    clip = read_clip(folder, entry)
    clip = replace(clip, torso=track_torso(clip))
    if clip.frames.shape[1] == side:
        return clip
    frames = np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in clip.frames])
    return replace(clip, frames=frames.astype(np.uint8, copy=False))


def track_torso(clip: CachedClip) -> Array | None:
    """The torso's points [T, 3, 2] as a driver would have tracked them; None when a frame of the clip shows none."""
    tracker = TorsoTracker()
    followed = [
        tracker.track(frame, mesh_keypoints(mesh, 1.0, 0))
        for frame, mesh in zip(clip.frames, clip.landmarks, strict=True)
    ]
    known = [each for each in followed if each is not None]
    return np.concatenate(known) if len(known) == len(followed) else None


def _make_pair(clip: CachedClip, first: int, second: int, with_torso: bool = True) -> _FramePair:
    """Two frames of a clip. Without a known torso its points rest in the first frame and do not move."""
    side = clip.frames.shape[1]
    mask = np.asarray(cv2.resize(clip.masks[first], (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    faces = clip.frames[first], mask, clip.landmarks[first], clip.frames[second], clip.landmarks[second]
    if not with_torso or clip.torso is None:
        rest = rest_torso_points(clip.landmarks[first])
        return _FramePair(*faces, rest, rest, np.float32(0))
    return _FramePair(*faces, clip.torso[first], clip.torso[second], np.float32(1))


def _colour_table(strength: float, rng: np.random.Generator) -> Image:
    """One look-up table [256, 1, 3] uint8 for both pictures of a pair: gain, bias, gamma, and a tint."""
    gain, gamma = 1 + strength * rng.uniform(-1, 1), np.exp(strength * rng.uniform(-1, 1))
    bias, tint = strength / 2 * rng.uniform(-1, 1), 1 + strength / 3 * rng.uniform(-1, 1, 3)
    level = (np.arange(256) / 255.0)[:, None] ** gamma
    levels = np.rint(((level - 0.5) * gain + 0.5 + bias) * tint * 255).clip(0, 255)
    return np.asarray(levels, np.uint8)[:, None]


def _collate_pairs(pairs: list[_FramePair]) -> PairBatch:
    return PairBatch(
        source=_stack_images([pair.source for pair in pairs]),
        mask=_stack_images([pair.mask[..., None] for pair in pairs]),
        source_points=_stack_points([pair.source_points for pair in pairs]),
        target=_stack_images([pair.target for pair in pairs]),
        target_points=_stack_points([pair.target_points for pair in pairs]),
        source_torso=_stack_points([pair.source_torso for pair in pairs]),
        target_torso=_stack_points([pair.target_torso for pair in pairs]),
        torso_known=torch.tensor([float(pair.torso_known) for pair in pairs]),
    )


def _stack_images(images: list[Image]) -> Tensor:
    """[B, C, S, S] in [0, 1] of uint8 images [S, S, C]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float() / 255


def _stack_points(points: list[Array]) -> Tensor:
    return torch.from_numpy(np.stack(points)).float()
