"""How well a mouth that a driver made from sound alone follows the mouth that the clip shows.

The opening of a mouth is the distance of its inner lips over the face's height, in the picture's plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from livehead.clock import NS
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import Driver, DriverInputs
from livehead.models.voice.network import LOOK_AHEAD_S, STEP_S
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints
from livehead.perception.talking_clip import RATE, TalkingClip, read_talking_clip

AUDIO_METRICS = ("mouth_correlation", "mouth_correlation_envelope", "mouth_lag_ms", "silence_opening")
"""Keys of every clip's figures and of the means; NaN where a clip does not allow one (no silence, a still mouth)."""

SILENCE_DBFS = -50.0
MIN_SILENCE_S = 0.4
MAX_LAG_MS = 400
LAG_STEP_MS = 10

_UPPER_LIP, _LOWER_LIP = 13, 14  # the middles of the lips' inner edges
_LOUDNESS_STEP_S = 0.01
_STEP_SAMPLES = round(STEP_S * RATE)

MakeVoiceDriver: TypeAlias = Callable[[Keypoints], Driver[Keypoints]]
"""Makes a driver that hears, for the face of a clip's first frame (``mesh478``)."""


@dataclass(frozen=True, slots=True, eq=False)
class MouthTrace:
    """The opening of the mouth at ``times`` [T] s: ``reference`` [T] is the clip's, ``predicted`` [T] the driver's."""

    times: npt.NDArray[np.float64]
    reference: Array
    predicted: Array


@dataclass(frozen=True, slots=True)
class SpeechFigures:
    """Figures and traces of each clip by its name, and the figures' means."""

    mean: dict[str, float]
    clips: dict[str, dict[str, float]]
    traces: dict[str, MouthTrace]


def evaluate_speech(
    paths: Sequence[Path], make_driver: MakeVoiceDriver, progress: Callable[[str], None] = lambda clip: None
) -> SpeechFigures:
    """Judge a voice driver on clips of people who talk; ``progress`` is called with the name of each finished clip.

    Raises: CaptureError, NoFaceError; what the driver raises.
    """
    clips: dict[str, dict[str, float]] = {}
    traces: dict[str, MouthTrace] = {}
    for path in paths:
        clip = read_talking_clip(path)
        clips[clip.name], traces[clip.name] = evaluate_clip(clip, *estimate_meshes(clip, make_driver))
        progress(clip.name)
    return SpeechFigures(mean_figures(clips), clips, traces)


def estimate_meshes(clip: TalkingClip, make_driver: MakeVoiceDriver) -> tuple[npt.NDArray[np.float64], Array]:
    """What a driver makes of a clip's sound, which it is fed step by step as live: times [N] s, meshes [N, 478, 3]."""
    driver = make_driver(mesh_keypoints(clip.meshes[int(np.flatnonzero(clip.face_seen)[0])], 1.0, 0))
    tail = np.zeros(round(LOOK_AHEAD_S * RATE) + _STEP_SAMPLES, np.float32)
    sound = np.concatenate([clip.sound, tail])
    times, meshes = [], []
    for end in range(_STEP_SAMPLES, len(sound) + 1, _STEP_SAMPLES):
        start = end - _STEP_SAMPLES
        block = AudioFrame(sound[None, start:end], RATE, start, start * NS // RATE)
        motion = driver.estimate(DriverInputs(None, block, end * NS // RATE))
        times.append(motion.captured_ns / NS)
        meshes.append(motion.points3d()[0])
    return np.array(times), np.stack(meshes)


def evaluate_clip(
    clip: TalkingClip, times: npt.NDArray[np.float64], meshes: Array
) -> tuple[dict[str, float], MouthTrace]:
    """Figures of one clip, for ``meshes`` [N, 478, 3] at ``times`` [N] s that were made of its sound alone."""
    all_predicted = lip_opening(meshes)
    seen = clip.face_seen
    seen_s, reference = clip.times[seen], lip_opening(clip.meshes[seen])

    def predicted_at(later_s: float = 0.0) -> Array:
        return np.asarray(np.interp(seen_s + later_s, times, all_predicted), np.float32)

    lags = np.arange(-MAX_LAG_MS, MAX_LAG_MS + 1, LAG_STEP_MS)
    by_lag = [pearson_correlation(predicted_at(lag / 1000), reference) for lag in lags]
    figures = {
        "mouth_correlation": pearson_correlation(predicted_at(), reference),
        "mouth_correlation_envelope": pearson_correlation(loudness_envelope(clip.sound, clip.times)[seen], reference),
        "mouth_lag_ms": float(lags[int(np.nanargmax(by_lag))]) if np.isfinite(by_lag).any() else float("nan"),
        "silence_opening": silence_opening_ratio(clip.sound, times, all_predicted),
    }
    return figures, MouthTrace(seen_s, reference, predicted_at())


def lip_opening(meshes: Array) -> Array:
    """How far the mouth of each of ``meshes`` [T, 478, 3] is open: [T]."""
    apart = np.linalg.norm(meshes[:, _UPPER_LIP, :2] - meshes[:, _LOWER_LIP, :2], axis=1)
    height = np.linalg.norm(meshes[:, FACE_MESH.forehead, :2] - meshes[:, FACE_MESH.chin, :2], axis=1)
    return np.asarray(apart / np.maximum(height, 1e-6), np.float32)


def loudness_envelope(sound: Samples, times: npt.NDArray[np.float64]) -> Array:
    """The loudness [T] of ``sound`` [N] in each video frame: log10 of the root mean square until the next frame."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 25
    edges = (np.stack([times, times + step], axis=1) * RATE).round().astype(int).clip(0, len(sound))
    power = [float(np.square(sound[start:end]).mean()) if end > start else 0.0 for start, end in edges]
    return np.asarray(np.log10(np.sqrt(power) + 1e-5), np.float32)


def find_silences(sound: Samples) -> list[tuple[float, float]]:
    """Stretches (start and end in s) of at least ``MIN_SILENCE_S`` in which no 10 ms are over ``SILENCE_DBFS``."""
    size = round(_LOUDNESS_STEP_S * RATE)
    blocks = sound[: len(sound) // size * size].reshape(-1, size)
    quiet = np.sqrt(np.square(blocks).mean(axis=1)) < 10 ** (SILENCE_DBFS / 20)
    turns = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int))).reshape(-1, 2)
    spans = [(start * _LOUDNESS_STEP_S, end * _LOUDNESS_STEP_S) for start, end in turns]
    return [(start, end) for start, end in spans if end - start >= MIN_SILENCE_S - 1e-9]


def silence_opening_ratio(sound: Samples, times: npt.NDArray[np.float64], predicted: Array) -> float:
    """The mean opening in silences over the mean opening elsewhere; NaN for a clip without silence."""
    inside = np.zeros(len(times), bool)
    for start, end in find_silences(sound):
        inside |= (times >= start) & (times <= end)
    if not inside.any() or inside.all():
        return float("nan")
    speaking = float(predicted[~inside].mean())
    return float(predicted[inside].mean()) / speaking if speaking > 0 else float("nan")


def pearson_correlation(one: Array, other: Array) -> float:
    """Pearson's correlation of two series [T]; NaN where either never changes."""
    if len(one) < 3 or float(one.std()) < 1e-9 or float(other.std()) < 1e-9:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def mean_figures(clips: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the clips that have it."""
    result = {}
    for name in AUDIO_METRICS:
        values = [figures[name] for figures in clips.values() if np.isfinite(figures[name])]
        result[name] = float(np.mean(values)) if values else float("nan")
    return result
