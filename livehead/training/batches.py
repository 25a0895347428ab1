"""Batches in the order of steps, made while the step before is under way where there are processors to spare."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

BatchT = TypeVar("BatchT")


class _StepDataset(Dataset):
    def __init__(self, make: Callable[[tuple[int, ...]], BatchT], seed: tuple[int, ...]) -> None:
        self._make, self._seed = make, seed

    def __getitem__(self, step: int) -> BatchT:
        return self._make((*self._seed, step))


def iterate_batches(
    make_batch: Callable[[tuple[int, ...]], BatchT], seed: tuple[int, ...], first_step: int, workers: int
) -> Iterator[BatchT]:
    """``make((*seed, step))`` for every step from ``first`` on, by so many processes of their own; by none in this one.

    Whatever their number, the batches are the same.
    """
    steps = range(first_step, sys.maxsize)
    return iter(
        DataLoader(
            _StepDataset(make_batch, seed),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            collate_fn=_identity_collate,
            worker_init_fn=_ignore_interrupts,
        )
    )


def _identity_collate(made: BatchT) -> BatchT:
    return made


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; the run's own first ends its step, then these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
