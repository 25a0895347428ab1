"""Batches in the order of steps, made while the step before is under way where there are processors to spare."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

BatchT = TypeVar("BatchT")


class _StepDataset(Dataset[BatchT]):
    def __init__(self, make: Callable[[tuple[int, ...]], BatchT], seed: tuple[int, ...]) -> None:
        self._make, self._seed = make, seed

    def __getitem__(self, step: int) -> BatchT:
        return self._make((*self._seed, step))


def iterate_batches(
    make_batch: Callable[[tuple[int, ...]], BatchT], seed: tuple[int, ...], first_step: int, workers: int
) -> Iterator[BatchT]:
    """Yield ``make_batch((*seed, step))`` for every step from ``first_step`` on.

    ``workers`` processes make the batches ahead; with 0 of them this process does. The batches are the same ones.
    """
    loader: DataLoader[BatchT] = DataLoader(
        _StepDataset(make_batch, seed),
        batch_size=None,
        sampler=range(first_step, sys.maxsize),
        num_workers=workers,
        collate_fn=_identity_collate,
        worker_init_fn=_ignore_interrupts,
    )
    return iter(loader)


def _identity_collate(made: BatchT) -> BatchT:
    return made


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal, but the main process has to end its step before its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
