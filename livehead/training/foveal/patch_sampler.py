"""Training samples of the foveal network: a drawn patch, the true one, and references of the same person.

Samples come in pairs of two consecutive frames with the same references, so that what flickers can be told. A batch
depends on its seed alone, so that a resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from livehead.frames import Image
from livehead.models.foveal.curve_warp import PatchShape
from livehead.models.foveal.network import MAX_REFERENCES, FovealReferences
from livehead.models.foveal.patch_frame import LEFT_EYE, MOUTH, RIGHT_EYE, FovealPart
from livehead.motion.keypoints import Array
from livehead.training.foveal.patch_cache import SHAPE_FIELDS, SOURCES, PatchEntry, read_patch_index

_PHOTO_ONLY_SHARE = 0.4  # of the samples know nothing but the photo
_NOTHING_SHARE = 0.08  # know not even that
_LIVE_SHARE = 0.12  # are shown the performer's own picture of the moment
_ENROLLED_CANDIDATES = 12  # frames among which the nearest in shape are taken as references
_COLOUR = 0.15  # strength of gain, bias, gamma and tint of a whole sample
_LIVE_COLOUR = 0.25  # of a live reference beside the rest: another light
_LIVE_QUALITY = 60  # of its JPEG


class PatchBatch(NamedTuple):
    """A batch of 2 B patches of one size, frame t and t + 1 in turn; tensors as ``FovealNetwork`` takes them."""

    drawn: Tensor
    truth: Tensor
    shape: PatchShape
    references: FovealReferences
    is_eye: Tensor


class _StoredPart(NamedTuple):
    """One part of one clip as the cache stores it."""

    truth: Image
    drawn: Image
    shape: Mapping[str, Array]
    sources: Array


class _PatchSample(NamedTuple):
    """One patch before it becomes part of a batch, and the frames, kinds and recolouring of its references."""

    drawn: Image
    truth: Image
    shape: dict[str, Array]
    references: Image
    reference_shapes: dict[str, Array]
    known: Array
    live: Array


class PatchSampler:
    """Samples patches from the clips of one split, held in memory."""

    def __init__(self, folder: Path, split: str) -> None:
        self.entries = [entry for entry in read_patch_index(folder) if entry.split == split and entry.frames > 3]
        self._clips = [_load_parts(folder, entry) for entry in self.entries]
        weights = np.sqrt([entry.frames for entry in self.entries])
        self._probabilities = weights / weights.sum()

    def sample_mouths(self, pairs: int, seed: tuple[int, ...]) -> PatchBatch:
        """Draw ``pairs`` pairs of mouths, the same ones for the same ``seed``."""
        rng = np.random.default_rng((*seed, 0))
        return _collate([sample for _ in range(pairs) for sample in self._draw_pair(MOUTH, rng)], is_eye=False)

    def sample_eyes(self, pairs: int, seed: tuple[int, ...]) -> PatchBatch:
        """Draw ``pairs`` pairs of eyes; left ones are mirrored, so that all are right ones."""
        rng = np.random.default_rng((*seed, 1))
        parts = [RIGHT_EYE if rng.random() < 0.5 else LEFT_EYE for _ in range(pairs)]
        return _collate([sample for part in parts for sample in self._draw_pair(part, rng)], is_eye=True)

    def held_out_batches(self, part: FovealPart, frames: int, references: int) -> list[tuple[str, PatchBatch]]:
        """For each clip its name and ``frames`` evenly spread samples drawn from its first frame.

        ``references`` counts what is known of the person: 0 nothing, 1 the photo, more: frames of the clip's first
        half, the nearest in shape; the samples are of its second half.
        """
        batches = []
        for entry, parts in zip(self.entries, self._clips, strict=True):
            stored = parts[part.name]
            half = entry.frames // 2
            where = np.linspace(half, entry.frames - 1, frames).round().astype(int)
            samples = [_held_out_sample(stored, int(frame), half, references) for frame in where]
            if part is LEFT_EYE:
                samples = [_mirror(sample) for sample in samples]
            batches.append((entry.name, _collate(samples, is_eye=part is not MOUTH)))
        return batches

    def _draw_pair(self, part: FovealPart, rng: np.random.Generator) -> list[_PatchSample]:
        number = int(rng.choice(len(self._clips), p=self._probabilities))
        stored = self._clips[number][part.name]
        frame = _choose_frame(stored, rng)
        photo = int(rng.integers(SOURCES))
        kind = rng.random()
        live = kind < _LIVE_SHARE
        chosen = _choose_references(stored, frame, photo, kind, rng)
        colour = _colour_table(_COLOUR, rng)
        live_look = (_colour_table(_LIVE_COLOUR, rng), bool(rng.random() < 0.7))
        samples = [
            _make_sample(stored, each, photo, chosen, live_look if live else None) for each in (frame, frame + 1)
        ]
        flip = (rng.random() < 0.5) if part is MOUTH else part is LEFT_EYE
        if flip:
            samples = [_mirror(sample) for sample in samples]
        return [_recolour(sample, colour) for sample in samples]


def _load_parts(folder: Path, entry: PatchEntry) -> dict[str, _StoredPart]:
    with np.load(folder / f"{entry.name}.npz") as file:
        return {
            part.name: _StoredPart(
                file[f"{part.name}.truth"],
                file[f"{part.name}.drawn"],
                {field: file[f"{part.name}.{field}"].astype(np.float32) for field in SHAPE_FIELDS},
                file["sources"],
            )
            for part in (MOUTH, RIGHT_EYE, LEFT_EYE)
        }


def _choose_frame(stored: _StoredPart, rng: np.random.Generator) -> int:
    """A frame that has a next one: of three, often the one whose mouth or eye is the farthest from the usual."""
    candidates = rng.integers(len(stored.truth) - 1, size=3)
    if rng.random() < 0.5:
        return int(candidates[0])
    openings = stored.shape["state"][:, 0]
    return int(candidates[np.abs(openings[candidates] - np.median(openings)).argmax()])


def _choose_references(stored: _StoredPart, frame: int, photo: int, kind: float, rng: np.random.Generator) -> list[int]:
    """The frames that are shown as references; the photo comes first, where it is known at all."""
    if _LIVE_SHARE <= kind < _LIVE_SHARE + _NOTHING_SHARE:
        return []
    source = int(stored.sources[photo])
    if kind < _LIVE_SHARE + _NOTHING_SHARE + _PHOTO_ONLY_SHARE:
        return [source]
    count = int(rng.integers(1, MAX_REFERENCES))
    candidates = rng.integers(len(stored.truth), size=_ENROLLED_CANDIDATES)
    candidates = candidates[np.abs(candidates - frame) > 3]
    return [source, *_nearest_in_shape(stored, frame, candidates)[:count]]


def _nearest_in_shape(stored: _StoredPart, frame: int, candidates: npt.NDArray[np.int64]) -> list[int]:
    state, curves = stored.shape["state"], stored.shape["curves"]
    width = curves.shape[-1]
    apart = ((state[candidates] - state[frame]) ** 2).sum(axis=1)
    apart += (((curves[candidates] - curves[frame]) / width) ** 2).mean(axis=(1, 2)) * 20
    return [int(each) for each in candidates[apart.argsort()]]


def _make_sample(
    stored: _StoredPart, frame: int, photo: int, chosen: list[int], live_look: tuple[Image, bool] | None = None
) -> _PatchSample:
    shape = {field: stored.shape[field][frame] for field in SHAPE_FIELDS}
    patches = [stored.truth[each] for each in chosen[: MAX_REFERENCES - (live_look is not None)]]
    shapes = [{field: stored.shape[field][each] for field in SHAPE_FIELDS} for each in chosen[: len(patches)]]
    live = [0.0] * len(patches)
    if live_look is not None:
        patches.append(_degrade_live_patch(stored.truth[frame], *live_look))
        shapes.append(shape)
        live.append(1.0)
    missing = MAX_REFERENCES - len(patches)
    known = np.array([1.0] * len(patches) + [0.0] * missing, np.float32)
    patches += [stored.drawn[photo, frame]] * missing
    shapes += [shape] * missing
    return _PatchSample(
        stored.drawn[photo, frame],
        stored.truth[frame],
        shape,
        np.stack(patches),
        {field: np.stack([each[field] for each in shapes]) for field in SHAPE_FIELDS},
        known,
        np.array(live + [0.0] * missing, np.float32),
    )


def _held_out_sample(stored: _StoredPart, frame: int, half: int, references: int) -> _PatchSample:
    chosen = [0] if references else []
    if references > 1:
        chosen += _nearest_in_shape(stored, frame, np.arange(1, half))[: references - 1]
    return _make_sample(stored, frame, 0, chosen)


def _degrade_live_patch(patch: Image, colour: Image, small: bool) -> Image:
    """A patch as a camera and a coder leave it: in another light, at half size, compressed."""
    height, width = patch.shape[:2]
    if small:
        patch = np.asarray(cv2.resize(patch, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    coded = cv2.imencode(".jpg", patch, [cv2.IMWRITE_JPEG_QUALITY, _LIVE_QUALITY])[1]
    patch = np.asarray(cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (width, height)), np.uint8)
    return np.asarray(cv2.LUT(patch, colour), np.uint8)


def _mirror(sample: _PatchSample) -> _PatchSample:
    def mirror_shape(shape: dict[str, Array]) -> dict[str, Array]:
        width = shape["curves"].shape[-1]
        pupil = shape["pupil"].copy()
        pupil[..., 0] = width - 1 - pupil[..., 0]
        return {
            "curves": shape["curves"][..., ::-1],
            "corners": width - 1 - shape["corners"][..., ::-1],
            "pupil": pupil,
            "state": shape["state"] * np.array([1, -1, 1], np.float32),
        }

    return sample._replace(
        drawn=sample.drawn[:, ::-1],
        truth=sample.truth[:, ::-1],
        references=sample.references[:, :, ::-1],
        shape=mirror_shape(sample.shape),
        reference_shapes=mirror_shape(sample.reference_shapes),
    )


def _recolour(sample: _PatchSample, colour: Image) -> _PatchSample:
    def apply(image: Image) -> Image:
        return np.asarray(colour[image, 0, np.arange(3)], np.uint8)

    return sample._replace(drawn=apply(sample.drawn), truth=apply(sample.truth), references=apply(sample.references))


def _colour_table(strength: float, rng: np.random.Generator) -> Image:
    """One look-up table [256, 1, 3] uint8: gain, bias, gamma, and a tint."""
    gain, gamma = 1 + strength * rng.uniform(-1, 1), np.exp(strength * rng.uniform(-1, 1))
    bias, tint = strength / 2 * rng.uniform(-1, 1), 1 + strength / 3 * rng.uniform(-1, 1, 3)
    level = (np.arange(256) / 255.0)[:, None] ** gamma
    levels = np.rint(((level - 0.5) * gain + 0.5 + bias) * tint * 255).clip(0, 255)
    return np.asarray(levels, np.uint8)[:, None]


def _collate(samples: list[_PatchSample], is_eye: bool) -> PatchBatch:
    def images(arrays: list[Image]) -> Tensor:
        stacked = torch.from_numpy(np.ascontiguousarray(np.stack(arrays)))
        return stacked.movedim(-1, -3).contiguous().float() / 255

    def shape(shapes: list[dict[str, Array]]) -> PatchShape:
        stacked = (np.ascontiguousarray(np.stack([each[field] for each in shapes])) for field in SHAPE_FIELDS)
        return PatchShape(*(torch.from_numpy(each).float() for each in stacked))

    flat = PatchShape(*(part.flatten(0, 1) for part in shape([sample.reference_shapes for sample in samples])))
    references = FovealReferences(
        images([sample.references for sample in samples]),
        flat,
        torch.from_numpy(np.stack([sample.known for sample in samples])),
        torch.from_numpy(np.stack([sample.live for sample in samples])),
    )
    return PatchBatch(
        images([sample.drawn for sample in samples]),
        images([sample.truth for sample in samples]),
        shape([sample.shape for sample in samples]),
        references,
        torch.full((len(samples),), float(is_eye)),
    )
