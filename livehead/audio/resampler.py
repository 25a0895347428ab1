"""Band-limited resampling of mono sound, at any ratio and at positions that need not be evenly spaced.

A sample between samples is their sum weighted by a windowed sinc (J. O. Smith, Digital Audio Resampling, CCRMA): 32
zero crossings, Kaiser window, read from a table that is interpolated linearly. Its error lies about 80 dB below the
sound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Signal = npt.NDArray[np.float32]
"""float32 [N], mono."""

Positions = npt.NDArray[np.float64]

_CROSSINGS = 16  # of the sinc, on either side
_PHASES = 512  # rows of the table for one sample's distance
_BETA = 9.0  # of the Kaiser window: side lobes below -90 dB
_PASS = 0.95  # of the lower Nyquist frequency is kept, so that the filter's slope ends before it folds


def reach(ratio: float = 1.0) -> int:
    """Samples on either side of a position that ``interpolate`` looks at; ``ratio``: output rate over input rate."""
    return int(np.ceil(_CROSSINGS / (min(ratio, 1.0) * _PASS)))


def interpolate(signal: Signal, positions: Positions, ratio: float = 1.0) -> Signal:
    """``signal`` [N] at fractional ``positions`` [M] (0 is the first sample), zero outside of it.

    ``ratio``: output rate over input rate; below 1 what the output rate cannot hold is filtered out.
    """
    half = reach(ratio)
    table = _table_for(ratio)
    base = np.floor(positions).astype(np.int64)
    phase = (positions - base) * _PHASES
    row = np.minimum(phase.astype(np.int64), _PHASES - 1)
    share = (phase - row).astype(np.float32)[:, None]
    weights = table[row] * (1 - share) + table[row + 1] * share
    padded = np.pad(signal, 2 * half)
    near = np.clip(base + 1 + half, 0, len(signal) + 2 * half)[:, None] + np.arange(2 * half)
    return np.asarray(np.einsum("mt,mt->m", padded[near], weights), np.float32)


class Resampler:
    """A stream from ``rate_in`` to ``rate_out`` Hz. Sample k of the output lies at time k / rate_out of the input.

    What it still waits for, at most ``reach`` samples of the input, comes with the next block.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rate_in, self.rate_out = rate_in, rate_out
        self._ratio = rate_out / rate_in
        self._reach = reach(self._ratio)
        self.reset()

    def reset(self) -> None:
        """Forget what came before: the next sample is number 0 of a new stream."""
        self._kept: Signal = np.zeros(0, np.float32)
        self._kept_at = 0  # number of the first sample kept
        self._given = 0

    @property
    def held_s(self) -> float:
        """Seconds of the input whose output is still to come."""
        return (self._kept_at + len(self._kept)) / self.rate_in - self._given / self.rate_out

    def __call__(self, samples: Signal) -> Signal:
        """The next samples [N] of the stream; gives those [M] that can be told by now."""
        if self.rate_in == self.rate_out:
            self._kept_at += len(samples)
            self._given += len(samples)
            return samples
        self._kept = np.concatenate([self._kept, samples])
        end = self._kept_at + len(self._kept) - self._reach  # positions before it are known on both sides
        ready = max(-(-end * self.rate_out // self.rate_in), self._given)
        given = self._between(self._given, ready)
        self._given = ready
        first = ready * self.rate_in // self.rate_out - self._reach
        drop = min(max(first - self._kept_at, 0), len(self._kept))
        self._kept, self._kept_at = self._kept[drop:], self._kept_at + drop
        return given

    def _between(self, begin: int, end: int) -> Signal:
        """Samples ``begin`` to ``end`` of the output."""
        if self.rate_in % self.rate_out:
            positions = np.arange(begin, end) * (self.rate_in / self.rate_out) - self._kept_at
            return interpolate(self._kept, positions, self._ratio)
        # Each falls on a sample of the input, as with a browser's 48 kHz: one row of weights serves all.
        step, half = self.rate_in // self.rate_out, self._reach
        near = sliding_window_view(np.pad(self._kept, half), 2 * half)
        first = begin * step - self._kept_at + 1
        return np.asarray(near[first : first + (end - begin) * step : step] @ _table_for(self._ratio)[0], np.float32)


def _table_for(ratio: float) -> Signal:
    return _table(min(ratio, 1.0) * _PASS, reach(ratio))


@lru_cache(maxsize=16)
def _table(cutoff: float, half: int) -> Signal:
    """Weights [_PHASES + 1, 2 * half] of the neighbours ``1 - half ... half`` of a position ``row / _PHASES`` on."""
    phase = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = np.arange(1 - half, half + 1) - phase
    window = np.i0(_BETA * np.sqrt(np.maximum(1 - (distance / half) ** 2, 0))) / np.i0(_BETA)
    weights = cutoff * np.sinc(cutoff * distance) * window
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)
