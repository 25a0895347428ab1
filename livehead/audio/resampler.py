"""Band-limited resampling of mono sound, at any ratio and at positions that need not be evenly spaced.

A sample between samples is a sum of its neighbours weighted by a windowed sinc (J. O. Smith, Digital Audio Resampling,
CCRMA) with 32 zero crossings and a Kaiser window, read from a table that is interpolated linearly. The error lies about
80 dB below the sound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Signal = npt.NDArray[np.float32]
"""float32 [N], mono."""

Positions = npt.NDArray[np.float64]

_ZERO_CROSSINGS = 16  # the sinc's, on either side
_PHASES = 512  # rows of the table for the distance of one sample
_KAISER_BETA = 9.0  # gives side lobes below -90 dB
_PASSBAND_SHARE = 0.95  # the kept share of the lower Nyquist frequency, so that the filter's slope does not alias


def kernel_half_width(ratio: float = 1.0) -> int:
    """The number of samples that ``interpolate`` reads on either side; ``ratio``: output rate over input rate."""
    return int(np.ceil(_ZERO_CROSSINGS / (min(ratio, 1.0) * _PASSBAND_SHARE)))


def interpolate(signal: Signal, positions: Positions, ratio: float = 1.0) -> Signal:
    """Interpolate ``signal`` [N] at fractional ``positions`` [M] (0 is the first sample); it is zero outside.

    ``ratio``: output rate over input rate; below 1 the frequencies that the output rate cannot hold are filtered out.
    """
    half = kernel_half_width(ratio)
    table = _kernel_for(ratio)
    base = np.floor(positions).astype(np.int64)
    phase = (positions - base) * _PHASES
    row = np.minimum(phase.astype(np.int64), _PHASES - 1)
    share = (phase - row).astype(np.float32)[:, None]
    weights = table[row] * (1 - share) + table[row + 1] * share
    padded = np.pad(signal, 2 * half)
    near = np.clip(base + 1 + half, 0, len(signal) + 2 * half)[:, None] + np.arange(2 * half)
    return np.asarray(np.einsum("mt,mt->m", padded[near], weights), np.float32)


class StreamingResampler:
    """Resamples a stream block by block from ``rate_in`` to ``rate_out`` Hz; output sample k lies at k / rate_out s.

    The output lags by at most ``kernel_half_width`` input samples, and comes with the next block.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rate_in, self.rate_out = rate_in, rate_out
        self._ratio = rate_out / rate_in
        self._half_width = kernel_half_width(self._ratio)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream, whose first sample is the next one."""
        self._pending: Signal = np.zeros(0, np.float32)
        self._pending_start = 0  # number of the first sample kept
        self._output_count = 0

    @property
    def pending_s(self) -> float:
        """Seconds of input whose output is still to come."""
        return (self._pending_start + len(self._pending)) / self.rate_in - self._output_count / self.rate_out

    def __call__(self, samples: Signal) -> Signal:
        """Take the stream's next samples [N] and return the output samples [M] that they complete."""
        if self.rate_in == self.rate_out:
            self._pending_start += len(samples)
            self._output_count += len(samples)
            return samples
        self._pending = np.concatenate([self._pending, samples])
        end = self._pending_start + len(self._pending) - self._half_width  # positions before it are known on both sides
        ready = max(-(-end * self.rate_out // self.rate_in), self._output_count)
        output = self._resample_range(self._output_count, ready)
        self._output_count = ready
        first = ready * self.rate_in // self.rate_out - self._half_width
        drop = min(max(first - self._pending_start, 0), len(self._pending))
        self._pending, self._pending_start = self._pending[drop:], self._pending_start + drop
        return output

    def _resample_range(self, begin: int, end: int) -> Signal:
        """Samples ``begin`` to ``end`` (exclusive) of the output."""
        if self.rate_in % self.rate_out:
            positions = np.arange(begin, end) * (self.rate_in / self.rate_out) - self._pending_start
            return interpolate(self._pending, positions, self._ratio)
        # each output sample falls on an input sample, as with a browser's 48 kHz, so that one row of weights is enough
        step, half = self.rate_in // self.rate_out, self._half_width
        near = sliding_window_view(np.pad(self._pending, half), 2 * half)
        first = begin * step - self._pending_start + 1
        return np.asarray(near[first : first + (end - begin) * step : step] @ _kernel_for(self._ratio)[0], np.float32)


def _kernel_for(ratio: float) -> Signal:
    return _kernel_table(min(ratio, 1.0) * _PASSBAND_SHARE, kernel_half_width(ratio))


@lru_cache(maxsize=16)
def _kernel_table(cutoff: float, half: int) -> Signal:
    """Weights [_PHASES + 1, 2 * half] of the neighbours ``1 - half ... half`` of a position ``row / _PHASES`` on."""
    phase = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = np.arange(1 - half, half + 1) - phase
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(1 - (distance / half) ** 2, 0))) / np.i0(_KAISER_BETA)
    weights = cutoff * np.sinc(cutoff * distance) * window
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)
