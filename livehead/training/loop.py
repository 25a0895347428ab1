"""The loop that all training shares: steps, now and then a checkpoint and a validation, until told to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from livehead.training.place import Place


class Counts(Protocol):
    """How far a run is; ``seconds`` are of work."""

    step: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class Rhythm:
    """Seconds between checkpoints and between validations."""

    checkpoint_every: float
    validate_every: float


class Subject(Protocol):
    """What is trained. Only the first process is asked to ``save`` and to ``validate``."""

    @property
    def counts(self) -> Counts: ...

    def step(self) -> None:
        """One batch in every process."""

    def save(self) -> None:
        """Write a checkpoint."""

    def validate(self) -> None:
        """Log figures of held-out clips, and a sheet."""


class Loop:
    """Runs a subject. ``stopped`` is the same in all processes, after the same step."""

    def __init__(self, place: Place, rhythm: Rhythm) -> None:
        self.place, self.rhythm = place, rhythm
        self.told = False

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the step that is under way."""

        def heed(*_: object) -> None:
            self.told = True

        before = {kind: signal.signal(kind, heed) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def stopped(self) -> bool:
        """Whether any process was told to stop."""
        self.told = self.place.any(self.told)
        return self.told

    def train(self, subject: Subject, total: int) -> None:
        """A whole run: figures of the beginning, the steps, a checkpoint and figures of the end.

        Whoever stops it waits for the checkpoint, not for the figures.
        """
        with self.heeding_signals():
            if self.place.first and subject.counts.step == 0:
                subject.validate()
            self.run(subject, total)
        if self.place.first:
            subject.save()
            if not self.told:
                subject.validate()

    def run(self, subject: Subject, total: int, going: Callable[[], bool] = lambda: True) -> None:
        """Steps until ``total`` samples are seen, ``going`` says no, or somebody said stop."""
        saved = validated = time.monotonic()
        counts = subject.counts
        with tqdm(
            total=total, initial=counts.samples, unit="sample", disable=None if self.place.first else True
        ) as bar:
            while counts.samples < total and going() and not self.stopped():
                began, before = time.monotonic(), counts.samples
                subject.step()
                now = time.monotonic()
                counts.seconds += now - began
                bar.update(counts.samples - before)
                if self.place.first and now - saved > self.rhythm.checkpoint_every:
                    subject.save()
                    saved = now
                if self.place.first and now - validated > self.rhythm.validate_every:
                    subject.validate()
                    validated = time.monotonic()
