"""Alignment of sound and picture of training clips.

Many clips from the net have their sound some frames early or late, and a network that is trained on a mixture learns to
hedge. Networks that never heard a person measure how late the sound of that person's clips is: it is the lag at which
the predicted opening of the mouth correlates best with the true one. After the first round the clips agree better, so
that the next round is surer.

The lag at which they agree is an accident of the majority of clips. So in the end all clips are moved together until
the average person is where that person was: an unseen person is expected there.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livehead.models.voice.network import STEP_S
from livehead.motion.keypoints import Array
from livehead.storage import replace_file
from livehead.training.voice.recipe import AudioVideoSyncSettings
from livehead.training.voice.speech_clips import SpeechClip, mouth_opening

log = logging.getLogger(__name__)

OpeningPredictor = Callable[[SpeechClip], Array]
"""Predicts the mouth's opening [N] at every step of a clip."""

PredictorTrainer = Callable[[Sequence[SpeechClip]], OpeningPredictor]
"""Trains a network on some clips for a short while and returns its predictor."""

_COLUMNS = ("clip", "later_ms", "correlation")


@dataclass(frozen=True)
class AudioVideoLag:
    """The delay in seconds that a clip's pictures need, and the correlation of mouth and sound with that delay."""

    video_delay_s: float
    correlation: float


def find_best_lag(predicted: Array, times: Array, truth: Array, max_lag_s: float) -> AudioVideoLag:
    """The lag at which ``predicted`` [N], a value a step, correlates best with ``truth`` [T] at ``times`` [T] s."""
    steps = np.arange(len(predicted)) * STEP_S
    lags = np.arange(-round(max_lag_s / STEP_S), round(max_lag_s / STEP_S) + 1) * STEP_S
    rows = [np.interp(times + lag, steps, predicted) for lag in lags]
    values = [float(np.corrcoef(row, truth)[0, 1]) if row.std() > 0 and truth.std() > 0 else 0.0 for row in rows]
    best = int(np.argmax(values))
    return AudioVideoLag(float(lags[best]), values[best])


def align_clips(
    clips: Sequence[SpeechClip],
    train_predictor: PredictorTrainer,
    sync: AudioVideoSyncSettings,
    lag_file: Path,
    seed: int,
) -> list[SpeechClip]:
    """Delay the pictures of each clip so that they go with its sound, and leave out clips that never do.

    ``lag_file`` is a CSV file of all lags; if it exists the lags are read from it and not measured again.
    """
    lags = _read_lags(lag_file) if lag_file.is_file() else _measure_lags(clips, train_predictor, sync, seed)
    _write_lags(lags, lag_file)
    usable = [clip for clip in clips if lags[clip.name].correlation >= sync.weakest]
    mean_s = mean_lag_s({clip: lags[clip.name] for clip in usable})
    log.info("%d of %d clips go with their sound, %.0f ms late on average", len(usable), len(clips), 1000 * mean_s)
    return [clip.delay_video(lags[clip.name].video_delay_s - mean_s) for clip in usable]


def mean_lag_s(lags: Mapping[SpeechClip, AudioVideoLag]) -> float:
    """The mean over persons of the mean over their clips."""
    persons: dict[str, list[float]] = {}
    for clip, lag in lags.items():
        persons.setdefault(clip.person, []).append(lag.video_delay_s)
    return float(np.mean([np.mean(found) for found in persons.values()])) if persons else 0.0


def _measure_lags(
    clips: Sequence[SpeechClip], train_predictor: PredictorTrainer, sync: AudioVideoSyncSettings, seed: int
) -> dict[str, AudioVideoLag]:
    lags = {clip.name: AudioVideoLag(0.0, 1.0) for clip in clips}
    persons = sorted({clip.person for clip in clips})
    persons = [persons[i] for i in np.random.default_rng(seed).permutation(len(persons))]
    for number in range(sync.rounds):
        moved = [clip.delay_video(lags[clip.name].video_delay_s) for clip in clips]
        usable = [clip for clip in moved if lags[clip.name].correlation >= sync.weakest]
        for fold in range(sync.folds):
            held_out = set(persons[fold :: sync.folds])
            predict = train_predictor([clip for clip in usable if clip.person not in held_out])
            for clip in moved:
                if clip.person in held_out:
                    truth = mouth_opening(clip.displacements)
                    lag = find_best_lag(predict(clip), clip.times, truth, sync.longest_ms / 1000)
                    lags[clip.name] = AudioVideoLag(lags[clip.name].video_delay_s + lag.video_delay_s, lag.correlation)
        mean = np.mean([lag.correlation for lag in lags.values()])
        log.info("alignment of sound and picture, round %d: correlation %.3f", number + 1, mean)
    return lags


def _read_lags(path: Path) -> dict[str, AudioVideoLag]:
    with path.open(newline="") as rows:
        found = csv.DictReader(rows)
        return {row["clip"]: AudioVideoLag(float(row["later_ms"]) / 1000, float(row["correlation"])) for row in found}


def _write_lags(lags: dict[str, AudioVideoLag], path: Path) -> None:
    with replace_file(path) as partial, partial.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(_COLUMNS)
        rows.writerows((name, round(lag.video_delay_s * 1000), f"{lag.correlation:.3f}") for name, lag in lags.items())
