"""Training of ``voice`` on clips of people who speak, by one process on the CPU.

The run folder holds ``latest.pt``, ``train.csv``, ``val.csv``, ``curves.png``, ``sync.csv`` (how sound and picture of
each clip were aligned) and ``talks/`` (the tracked clips).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from livehead.errors import ConfigError
from livehead.models.voice.logmel import CONTEXT_SAMPLES, LogMelSpectrogram
from livehead.models.voice.stream import VoiceStream, process_recording
from livehead.motion.keypoints import Array
from livehead.training.curves import plot_training_curves
from livehead.training.distributed import ProcessGroupInfo, open_process_group
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.optimization import set_learning_rate, take_optimiser_step
from livehead.training.recipe import read_recipe_as
from livehead.training.run_log import RunLog
from livehead.training.voice.av_alignment import OpeningPredictor, align_clips, find_best_lag
from livehead.training.voice.losses import voice_losses
from livehead.training.voice.recipe import VoiceRecipe
from livehead.training.voice.speech_clips import (
    SpeechClip,
    build_motion_basis,
    mouth_opening,
    project_onto_basis,
    read_clips,
    resample_to_steps,
)
from livehead.training.voice.speech_sampler import SpeechSampler
from livehead.training.voice.state import VoiceTrainingState, load_state, new_state, save_state

log = logging.getLogger(__name__)

EXAMPLE_CONFIG = "configs/train/voice.toml"
CHECKPOINT = "latest.pt"
_LOSS_TERMS = ("motion", "velocity", "correlation")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_LOSS_TERMS, "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "mouth_correlation", "best_correlation", "lag_ms")
_WARM_UP_STEPS = 60  # until the learning rate is full
_MAX_LAG_S = 0.2


def run(
    data: Path, config: Path, out: Path, *, train: Path | None = None, val: Path | None = None, resume: bool = False
) -> None:
    """Train the voice model from the clips in ``data`` by the recipe ``config`` into the folder ``out``.

    ``train`` and ``val`` are files that list clips of ``data``, one a line; without ``train`` all clips that ``val``
    does not list are trained on. ``resume`` goes on from ``out``. SIGTERM or SIGINT end the run early, with a
    checkpoint.

    Raises: ConfigError.
    """
    recipe = read_recipe_as(VoiceRecipe, config, EXAMPLE_CONFIG)
    held_out = _read_clip_names(data, val) if val else []
    names = [name for name in _read_clip_names(data, train) if name not in held_out]
    with open_process_group() as process:
        if process.world_size > 1:
            raise ConfigError("the voice model is trained by one process", "start it without torchrun")
        torch.manual_seed(recipe.seed)
        clips = read_clips(data, names, out / "talks")
        clips = align_clips(clips, lambda some: _train_briefly(some, recipe, process), recipe.sync, out / "sync.csv", 1)
        torch.manual_seed(recipe.seed)
        trainer = VoiceTrainer(recipe, clips, out, process)
        if resume:
            load_state(trainer.state, out / CHECKPOINT)
        trainer.held_out = read_clips(data, held_out, out / "talks") if held_out else []
        intervals = TrainingIntervals(recipe.checkpoint_every, recipe.validate_every)
        TrainingLoop(process, intervals).train(trainer, trainer.total)


def _read_clip_names(folder: Path, names: Path | None) -> list[str]:
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", "give --data a folder of clips", subject=str(folder))
    if names is None:
        return sorted(path.name for path in folder.iterdir() if path.is_file())
    try:
        return names.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the list {names} ({error})", "give a text file, a clip a line") from error


def _train_briefly(clips: Sequence[SpeechClip], recipe: VoiceRecipe, process: ProcessGroupInfo) -> OpeningPredictor:
    """Train a single network on ``clips`` for a short while; returns how it predicts the mouth's opening."""
    short = recipe.model_copy(update={"members": 1, "steps": recipe.sync.steps})
    trainer = VoiceTrainer(short, clips, None, process)
    while trainer.state.step < short.steps:
        trainer.step()
    return trainer.predict_opening


class VoiceTrainer:
    """A run: a ``ModelTrainer``. Without a folder ``out`` nothing is written."""

    def __init__(
        self, recipe: VoiceRecipe, clips: Sequence[SpeechClip], out: Path | None, process: ProcessGroupInfo
    ) -> None:
        self.recipe, self.out, self.process = recipe, out, process
        self.held_out: list[SpeechClip] = []
        basis = build_motion_basis(clips, recipe.outputs)
        raw = {clip.name: project_onto_basis(clip.displacements, basis) for clip in clips}
        spread = np.concatenate(list(raw.values())).std(axis=0)
        targets = {clip.name: resample_to_steps(clip, raw[clip.name] / spread) for clip in clips}
        self.sampler = SpeechSampler(clips, targets, recipe.seconds, recipe.sound)
        weights = np.sqrt(spread / spread[1 if len(spread) > 1 else 0])
        weights[0] = recipe.opening
        self.output_weights = torch.from_numpy(weights.astype(np.float32))
        scale = torch.from_numpy(spread)
        self.state = new_state(recipe, torch.from_numpy(basis), scale, *_log_mel_statistics(clips))
        self.train_log = RunLog(out / "train.csv" if out else None, _TRAIN_COLUMNS)
        self.val_log = RunLog(out / "val.csv" if out else None, _VAL_COLUMNS)

    @property
    def progress(self) -> VoiceTrainingState:
        """How far the run is."""
        return self.state

    @property
    def total(self) -> int:
        """The number of samples of the whole run."""
        return self.recipe.steps * self.recipe.batch

    def step(self) -> None:
        """Train on one batch of excerpts."""
        state, recipe = self.state, self.recipe
        batch = self.sampler.sample_batch(recipe.batch, (recipe.seed, state.step))
        rate = self._learning_rate()
        set_learning_rate(state.optimiser, rate)
        with torch.autocast(self.process.device.type, torch.bfloat16):
            predicted, _ = state.network(batch.frames, state.network.initial_state(recipe.batch))
        terms = voice_losses(predicted.float(), batch.target, batch.mask, self.output_weights)
        loss = terms.motion + recipe.velocity * terms.velocity + recipe.correlation * terms.correlation
        norm = take_optimiser_step(state.optimiser, state.network, loss, recipe.clip)
        state.average.update(state.network)
        state.step += 1
        state.samples += recipe.batch
        if self.out is not None and state.step % recipe.log_every == 0:
            row = {name: float(value.detach()) for name, value in terms._asdict().items()} | state.progress_row()
            self.train_log.append_row(row | {"rate": rate, "loss": float(loss.detach()), "norm": norm})

    def save(self) -> None:
        """Write ``latest.pt``."""
        if self.out is not None:
            save_state(self.state, self.out / CHECKPOINT)

    def predict_opening(self, clip: SpeechClip) -> Array:
        """The mouth's opening [N] at every step of a clip, as the averaged network predicts it from the sound."""
        return process_recording(VoiceStream(self.state.average.module), clip.sound)[:, 0]

    def validate(self) -> None:
        """Log how the predicted opening of held-out mouths correlates with the truth, as it is and at the best lag."""
        rows = []
        for clip in self.held_out:
            predicted, truth = self.predict_opening(clip), mouth_opening(clip.displacements)
            now = find_best_lag(predicted, clip.times, truth, 0.0)
            best = find_best_lag(predicted, clip.times, truth, _MAX_LAG_S)
            rows.append((now.correlation, best.correlation, best.video_delay_s * 1000))
        if rows and self.out is not None:
            log.info("held out: %s", " ".join(f"{row[0]:.2f}/{row[1]:.2f}@{row[2]:.0f}ms" for row in rows))
            figures = dict(zip(_VAL_COLUMNS[3:], np.mean(rows, axis=0).tolist(), strict=True))
            self.val_log.append_row({"model": "model", **figures, **self.state.progress_row()})
            plot_training_curves(self.out, _LOSS_TERMS, ["mouth_correlation"])

    def _learning_rate(self) -> float:
        done = self.state.step / self.recipe.steps
        falling = 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2
        return self.recipe.rate * min(1.0, (self.state.step + 1) / _WARM_UP_STEPS) * falling


def _log_mel_statistics(clips: Sequence[SpeechClip]) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation [BANDS] of the log-mel frames of all clips."""
    mel = LogMelSpectrogram()
    frames = [mel(torch.from_numpy(np.pad(clip.sound, (CONTEXT_SAMPLES, 0)))[None])[0] for clip in clips]
    joined = torch.cat(frames, dim=-1)
    return joined.mean(dim=-1), joined.std(dim=-1)
