"""Sound as a picture of pitch over time."""

from __future__ import annotations

import math

import numpy as np
import torch

from livehead.models.voice.logmel import (
    CONTEXT_SAMPLES,
    HOP_SAMPLES,
    MEL_BANDS,
    SAMPLE_RATE,
    LogMelSpectrogram,
    mel_filters,
)


def tone(hertz: float, hops: int) -> torch.Tensor:
    times = torch.arange(CONTEXT_SAMPLES + hops * HOP_SAMPLES, dtype=torch.float64) / SAMPLE_RATE
    return (0.5 * torch.sin(2 * math.pi * hertz * times))[None].float()


def test_every_hop_gives_one_frame() -> None:
    assert LogMelSpectrogram()(torch.zeros(2, CONTEXT_SAMPLES + 7 * HOP_SAMPLES)).shape == (2, MEL_BANDS, 7)


def test_a_higher_tone_lies_in_a_higher_band() -> None:
    loudest = [
        int(LogMelSpectrogram()(tone(hertz, 20))[0].mean(dim=1).argmax()) for hertz in (120, 300, 1000, 3000, 7000)
    ]
    assert loudest == sorted(set(loudest))


def test_twice_as_loud_is_the_same_step_in_every_band_that_is_heard() -> None:
    mel = LogMelSpectrogram()
    step = mel(2 * tone(1000, 20)) - mel(tone(1000, 20))
    heard = mel(tone(1000, 20)) > -5
    assert heard.any()
    np.testing.assert_allclose(step[heard], math.log(4), atol=1e-3)


def test_silence_is_the_same_everywhere() -> None:
    frames = LogMelSpectrogram()(torch.zeros(1, CONTEXT_SAMPLES + 5 * HOP_SAMPLES))
    assert float(frames.max() - frames.min()) == 0


def test_a_longer_vocal_tract_is_undone_by_filters_that_look_lower() -> None:
    filters = mel_filters(0.8)[None]
    np.testing.assert_allclose(mel_filters().sum(dim=1), 1, atol=1e-5)
    low = LogMelSpectrogram()(tone(800, 20), filters)[0].mean(dim=1).argmax()
    assert abs(int(low) - int(LogMelSpectrogram()(tone(1000, 20))[0].mean(dim=1).argmax())) <= 1
