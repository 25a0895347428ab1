"""The loop that all training shares: steps, now and then a checkpoint and a validation, until told to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from livehead.training.distributed import ProcessGroupInfo


class TrainingProgress(Protocol):
    """How far a run is; ``seconds`` are of work."""

    step: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class TrainingIntervals:
    """Seconds between checkpoints and between validations."""

    checkpoint_every: float
    validate_every: float


class ModelTrainer(Protocol):
    """What is trained. Only the first process is asked to ``save`` and to ``validate``."""

    @property
    def progress(self) -> TrainingProgress: ...

    def step(self) -> None:
        """One batch in every process."""

    def save(self) -> None:
        """Write a checkpoint."""

    def validate(self) -> None:
        """Log figures of held-out clips, and a sheet."""


class TrainingLoop:
    """Runs a subject. ``stopped`` is the same in all processes, after the same step."""

    def __init__(self, process: ProcessGroupInfo, intervals: TrainingIntervals) -> None:
        self.process, self.intervals = process, intervals
        self.stop_requested = False

    @contextmanager
    def stop_on_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the step that is under way."""

        def heed(*_: object) -> None:
            self.stop_requested = True

        before = {kind: signal.signal(kind, heed) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def should_stop(self) -> bool:
        """Whether any process was told to stop."""
        self.stop_requested = self.process.any_process(self.stop_requested)
        return self.stop_requested

    def train(self, trainer: ModelTrainer, total: int) -> None:
        """A whole run: figures of the beginning, the steps, a checkpoint and figures of the end.

        Whoever stops it waits for the checkpoint, not for the figures.
        """
        with self.stop_on_signals():
            if self.process.is_main and trainer.progress.step == 0:
                trainer.validate()
            self.run_steps(trainer, total)
        if self.process.is_main:
            trainer.save()
            if not self.stop_requested:
                trainer.validate()

    def run_steps(self, trainer: ModelTrainer, total: int, should_continue: Callable[[], bool] = lambda: True) -> None:
        """Steps until ``total`` samples are seen, ``going`` says no, or somebody said stop."""
        saved = validated = time.monotonic()
        counts = trainer.progress
        with tqdm(
            total=total, initial=counts.samples, unit="sample", disable=None if self.process.is_main else True
        ) as bar:
            while counts.samples < total and should_continue() and not self.should_stop():
                began, before = time.monotonic(), counts.samples
                trainer.step()
                now = time.monotonic()
                counts.seconds += now - began
                bar.update(counts.samples - before)
                if self.process.is_main and now - saved > self.intervals.checkpoint_every:
                    trainer.save()
                    saved = now
                if self.process.is_main and now - validated > self.intervals.validate_every:
                    trainer.validate()
                    validated = time.monotonic()
