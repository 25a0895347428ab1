"""The evaluation protocol: self-reenactment of clips by each model, beside the baseline that never moves (``copy``).

The source is a clip's first frame; frames evenly spaced over the rest drive it, with absolute motion, at 256 x 256.
Means are over frames, then over clips. Models are injected as ``PrepareSource``, so this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from livehead.errors import CaptureError, ConfigError, NoFaceError
from livehead.evaluation.clips import count_frames, driving_indices, read_frames
from livehead.evaluation.frame_pairs import FramePair, FrameRef
from livehead.evaluation.identity import (
    OTHER_PERSON_IDENTITY,
    EmbedFace,
    FaceAppearance,
    cosine_similarity,
    identity_distance,
    measure_appearance,
)
from livehead.evaluation.image_metrics import box_l1, flicker, l1, psnr, sharpness, ssim
from livehead.evaluation.landmarks import FaceDetector, akd, face_box, find_mesh, mouth_box, pose_error_degrees
from livehead.frames import Image
from livehead.motion.keypoints import Keypoints
from livehead.perception.torso_tracker import TorsoTracker

FRAME_SIDE = 256
METRICS = ("l1", "psnr", "ssim", "akd", "missed", "mouth_l1", "sharpness", "flicker", "identity")
"""Keys of each clip's figures and of the means.

``missed`` counts frames; ``identity`` is 0 for the same person and 1 for another.
"""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationFrame:
    """One frame of a clip, uint8 [256, 256, 3] RGB, and the ``mesh478`` found in it (static mode).

    In clips the mesh comes with the torso, which is tracked from the clip's first frame on.
    """

    image: Image
    mesh: Keypoints


DrawFrame: TypeAlias = Callable[[EvaluationFrame], Image]
"""Draws the avatar in the absolute motion of a driving frame: uint8 [256, 256, 3] RGB.

A model with a learned detector looks at the frame's image, others take its mesh.
"""

PrepareSource: TypeAlias = Callable[[EvaluationFrame], DrawFrame]
"""Prepares a model for a source, once for each clip."""

IDENTITY_COSINE_KEY = "identity_cosine"
"""A further key where a recognition network is given: 1 for the same person, 0 where no face is found."""

POSE_KEY = "pose"
"""The further key of ``evaluate_pairs``: the angle in degrees between the heads of output and driving frame."""

MetricValues: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The figures of one model for each clip by its name, and their means; each has all of ``METRICS``."""

    mean: MetricValues
    clips: dict[str, MetricValues]


@dataclass(frozen=True, slots=True, eq=False)
class _EvaluationClip:
    """A clip, decoded once for all models, with the faces in its frames."""

    name: str
    source: EvaluationFrame
    appearance: FaceAppearance
    driving: list[EvaluationFrame]


def copy_baseline(source: EvaluationFrame) -> DrawFrame:
    """The baseline that shows the source and never moves."""
    return lambda driving: source.image


def evaluate_clips(
    clips: Sequence[Path],
    models: Mapping[str, PrepareSource],
    finder: FaceDetector,
    frames: int = 40,
    progress: Callable[[str], None] = lambda clip: None,
    embed: EmbedFace | None = None,
) -> dict[str, ModelFigures]:
    """Run the protocol over ``clips`` for ``models`` by their names, the baselines among them.

    ``finder`` looks at single pictures, as ``FaceMeshTracker(static=True)``; ``progress`` is called with the name of
    each finished clip. With a recognition network's ``embed``, the figures have ``IDENTITY_COSINE_KEY`` as well.

    Raises: ConfigError for fewer than three frames; CaptureError for a clip that cannot be read or is shorter than four
    frames; NoFaceError for one whose first frame shows no face; what the models raise.
    """
    if frames < 3:
        raise ConfigError(f"{frames} frames a clip are too few to judge", "ask for three or more")
    clips_of: dict[str, dict[str, MetricValues]] = {name: {} for name in models}
    for path in clips:
        clip = _load_clip(path, finder, frames)
        for name, prepare in models.items():
            clips_of[name][clip.name] = _measure_model(clip, prepare(clip.source), finder, embed)
        progress(clip.name)
    return {name: ModelFigures(_mean_over_clips(list(figures.values())), figures) for name, figures in clips_of.items()}


def evaluate_pairs(
    pairs: Sequence[FramePair],
    models: Mapping[str, PrepareSource],
    finder: FaceDetector,
    progress: Callable[[str], None] = lambda pair: None,
    embed: EmbedFace | None = None,
) -> dict[str, ModelFigures]:
    """Run the protocol over pairs of single frames, as ``evaluate_clips`` does over clips.

    ``flicker`` is NaN, since one frame cannot flicker. Where the two frames show different persons, only ``identity``
    and ``pose`` mean something. ``pose`` is the angle in degrees between the heads of the output and the driving frame.

    Raises: CaptureError for a frame that cannot be read; NoFaceError for one without a face.
    """
    pairs_of: dict[str, dict[str, MetricValues]] = {name: {} for name in models}
    for pair in pairs:
        source, driving = (_load_frame(still, finder) for still in (pair.source, pair.driving))
        clip = _EvaluationClip(pair.name, source, measure_appearance(source.image, source.mesh), [driving])
        for name, prepare in models.items():
            pairs_of[name][pair.name] = _measure_model(clip, prepare(source), finder, embed, (*METRICS, POSE_KEY))
        progress(pair.name)
    return {name: ModelFigures(_mean_over_clips(list(figures.values())), figures) for name, figures in pairs_of.items()}


def _load_frame(reference: FrameRef, finder: FaceDetector) -> EvaluationFrame:
    image = reference.read(FRAME_SIDE)
    mesh = find_mesh(finder, image)
    if mesh is None:
        raise NoFaceError(f"no face in {reference.name}", "take it out of the list", subject=reference.name)
    return EvaluationFrame(image, mesh)


def _load_clip(path: Path, finder: FaceDetector, count: int) -> _EvaluationClip:
    """Decode a clip's source and driving frames and find their faces. Driving frames without a face are left out."""
    chosen = driving_indices(count_frames(path), count)
    if len(chosen) < 3:
        raise CaptureError(
            f"{path} is too short to evaluate", "leave out clips of fewer than four frames", subject=str(path)
        )
    images = read_frames(path, [0, *chosen], FRAME_SIDE)
    frames: dict[int, EvaluationFrame] = {}
    torso = TorsoTracker()  # measured against the first frame, which is the source
    for index, image in sorted(images.items()):
        mesh = find_mesh(finder, image)
        if mesh is not None:
            frames[index] = EvaluationFrame(image, replace(mesh, torso=torso.track(image, mesh)))
    if 0 not in frames:
        raise NoFaceError(f"no face in the first frame of {path}", "leave the clip out of the list", subject=str(path))
    driving = [frames[index] for index in chosen if index in frames]
    if len(driving) < 3:
        raise NoFaceError(f"no face in the frames of {path}", "leave the clip out of the list", subject=str(path))
    return _EvaluationClip(path.stem, frames[0], measure_appearance(frames[0].image, frames[0].mesh), driving)


def _measure_model(
    clip: _EvaluationClip,
    draw: DrawFrame,
    finder: FaceDetector,
    embed: EmbedFace | None,
    wanted: Sequence[str] = METRICS,
) -> MetricValues:
    """The figures of one model on one clip, with the keys ``wanted``."""
    meshes = _MeshCache(finder)
    outputs = [draw(shot) for shot in clip.driving]
    rows = [
        _compare_frame(output, shot, clip.appearance, meshes)
        for output, shot in zip(outputs, clip.driving, strict=True)
    ]
    if embed is not None:
        source = embed(clip.source.image, clip.source.mesh)
        for row, output in zip(rows, outputs, strict=True):
            mesh = meshes.find_cached(output)
            row[IDENTITY_COSINE_KEY] = cosine_similarity(embed(output, mesh), source) if mesh is not None else 0.0
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    figures["missed"] = sum(row["missed"] for row in rows)
    whole = len(outputs) > 2
    figures["flicker"] = flicker(outputs, [shot.image for shot in clip.driving]) if whole else float("nan")
    return {name: figures[name] for name in (*wanted, IDENTITY_COSINE_KEY) if name in figures}


class _MeshCache:
    """Finds the face in each output once, also when a picture is given again, as ``copy`` does.

    Outputs are told apart by their ``id``, so that they must live as long as the cache.
    """

    def __init__(self, finder: FaceDetector) -> None:
        self._finder = finder
        self._found: dict[int, Keypoints | None] = {}

    def find_cached(self, image: Image) -> Keypoints | None:
        if id(image) not in self._found:
            self._found[id(image)] = find_mesh(self._finder, image)
        return self._found[id(image)]


def _compare_frame(output: Image, truth: EvaluationFrame, source: FaceAppearance, meshes: _MeshCache) -> MetricValues:
    """All figures of one output except the flicker."""
    mesh = meshes.find_cached(output)
    box = face_box(truth.mesh, FRAME_SIDE, FRAME_SIDE)
    return {
        "l1": l1(output, truth.image),
        "psnr": psnr(output, truth.image),
        "ssim": ssim(output, truth.image),
        "akd": akd(mesh, truth.mesh, FRAME_SIDE, FRAME_SIDE),
        "missed": 0.0 if mesh is not None else 1.0,
        "mouth_l1": box_l1(output, truth.image, mouth_box(truth.mesh, FRAME_SIDE, FRAME_SIDE)),
        "sharpness": sharpness(output, truth.image, box),
        "identity": identity_distance(measure_appearance(output, mesh), source)
        if mesh is not None
        else OTHER_PERSON_IDENTITY,
        POSE_KEY: pose_error_degrees(mesh, truth.mesh) if mesh is not None else float("nan"),
    }


def _mean_over_clips(clips: list[MetricValues]) -> MetricValues:
    """The mean of each figure over the clips."""
    return {name: _finite_mean([clip[name] for clip in clips]) for name in clips[0]}


def _finite_mean(values: list[float]) -> float:
    """The mean of the finite ones among ``values``, NaN when there is none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
