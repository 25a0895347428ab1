"""The loop that all trainers share: steps, and at intervals a checkpoint and a validation, until the run ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from livehead.training.distributed import ProcessGroupInfo
from livehead.training.progress import TrainingProgress


@dataclass(frozen=True)
class TrainingIntervals:
    """Seconds between checkpoints and between validations."""

    checkpoint_every: float
    validate_every: float


class ModelTrainer(Protocol):
    """The trainer of one model. Only the first process calls its ``save`` and ``validate``."""

    @property
    def progress(self) -> TrainingProgress: ...

    def step(self) -> None:
        """Train on one batch in every process."""

    def save(self) -> None:
        """Write a checkpoint."""

    def validate(self) -> None:
        """Log the figures of held-out clips and write a sample sheet."""


class TrainingLoop:
    """Runs a trainer. All processes stop after the same step."""

    def __init__(self, process: ProcessGroupInfo, intervals: TrainingIntervals) -> None:
        self.process, self.intervals = process, intervals
        self.stop_requested = False

    @contextmanager
    def stop_on_signals(self) -> Iterator[None]:
        """While this is open, SIGTERM and SIGINT end the run after the step that is under way."""

        def request_stop(*_: object) -> None:
            self.stop_requested = True

        before = {kind: signal.signal(kind, request_stop) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def should_stop(self) -> bool:
        """Tell whether any process got a signal to stop."""
        self.stop_requested = self.process.any_process(self.stop_requested)
        return self.stop_requested

    def train(self, trainer: ModelTrainer, total: int) -> None:
        """Run a whole training: a validation, the steps up to ``total`` samples, a checkpoint and a validation.

        A run that is stopped writes its checkpoint and leaves out the last validation.
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
        """Take steps until ``total`` samples are seen, ``should_continue`` says no, or a signal asks to stop."""
        saved = validated = time.monotonic()
        progress = trainer.progress
        with tqdm(
            total=total, initial=progress.samples, unit="sample", disable=None if self.process.is_main else True
        ) as bar:
            while progress.samples < total and should_continue() and not self.should_stop():
                began, before = time.monotonic(), progress.samples
                trainer.step()
                now = time.monotonic()
                progress.seconds += now - began
                bar.update(progress.samples - before)
                if self.process.is_main and now - saved > self.intervals.checkpoint_every:
                    trainer.save()
                    saved = now
                if self.process.is_main and now - validated > self.intervals.validate_every:
                    trainer.validate()
                    validated = time.monotonic()
