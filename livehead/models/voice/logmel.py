"""A logarithmic mel spectrogram that is computed while the sound comes in.

Sound is 16 kHz mono; every 10 ms there is a frame of the last 25 ms. Frame ``k`` ends with sample ``160 (k + 1)``;
before the first sample there is silence.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160
"""Samples between two frames: 10 ms."""

WINDOW_SAMPLES = 400
MEL_BANDS = 64
CONTEXT_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES
"""Samples that a frame looks back beyond its own hop."""

_FFT_SIZE = 512
_MIN_HERTZ, _MAX_HERTZ = 60.0, 7600.0  # Hz
_POWER_FLOOR = 1e-7  # power of a band that counts as silence: -70 dB of full scale


class LogMelSpectrogram(nn.Module):
    """Natural logarithms of the power in ``MEL_BANDS`` mel bands. The module has no weights."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW_SAMPLES, periodic=False)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)

    def forward(self, samples: Tensor, warp: Tensor | None = None) -> Tensor:
        """Spectrogram [B, MEL_BANDS, T] of ``samples`` [B, CONTEXT_SAMPLES + HOP_SAMPLES * T] in [-1, 1].

        ``warp`` [B, MEL_BANDS, 257]: filters for each item of the batch, for voices of longer or shorter vocal tracts.
        """
        frames = samples.unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES) * self.window
        power = torch.fft.rfft(frames, _FFT_SIZE).abs().square()
        filters = self.filters if warp is None else warp
        mel_power: Tensor = filters @ power.transpose(-1, -2)
        return (mel_power + _POWER_FLOOR).log()


def mel_filters(stretch: float = 1.0) -> Tensor:
    """Triangular filters [MEL_BANDS, 257], evenly spaced in mel (2595 log10(1 + f / 700)), each with a sum of 1.

    ``stretch`` moves the filter for frequency f to ``stretch * f``, as in Jaitly and Hinton, "Vocal Tract Length
    Perturbation" (2013), here without their bend at the top.
    """
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (_MIN_HERTZ, _MAX_HERTZ))
    edges = 700 * (10 ** (torch.linspace(low, high, MEL_BANDS + 2, dtype=torch.float64) / 2595) - 1)
    edges = (edges * stretch).clamp_max(SAMPLE_RATE / 2)
    at = torch.linspace(0, SAMPLE_RATE / 2, _FFT_SIZE // 2 + 1, dtype=torch.float64)
    rise = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2]).clamp_min(1e-6)[:, None]
    fall = (edges[2:, None] - at) / (edges[2:] - edges[1:-1]).clamp_min(1e-6)[:, None]
    filters = torch.minimum(rise, fall).clamp_min(0)
    # Low bands are narrower than the distance of two lines of the spectrum: they take the nearest line.
    thin = filters.sum(dim=1) < 0.5
    filters[thin] = nn.functional.one_hot((at - edges[1:-1, None]).abs().argmin(dim=1)[thin], len(at)).double()
    return (filters / filters.sum(dim=1, keepdim=True).clamp_min(1e-6)).float()
