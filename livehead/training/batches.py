"""Batches in the order of steps, made while the step before is under way where there are processors to spare."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

Made = TypeVar("Made")


class _Steps(Dataset):
    def __init__(self, make: Callable[[tuple[int, ...]], Made], seed: tuple[int, ...]) -> None:
        self._make, self._seed = make, seed

    def __getitem__(self, step: int) -> Made:
        return self._make((*self._seed, step))


def batches(make: Callable[[tuple[int, ...]], Made], seed: tuple[int, ...], first: int, workers: int) -> Iterator[Made]:
    """``make((*seed, step))`` for every step from ``first`` on, by so many processes of their own; by none in this one.

    Whatever their number, the batches are the same.
    """
    steps = range(first, sys.maxsize)
    return iter(
        DataLoader(
            _Steps(make, seed),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_interrupts,
        )
    )


def _as_it_is(made: Made) -> Made:
    return made


def _leave_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; the run's own first ends its step, then these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
