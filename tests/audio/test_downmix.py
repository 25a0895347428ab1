"""Several channels become the one that a driver listens to, and the voice is never lost on the way."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.audio.downmix import SpeechDownmixer, fit_channels
from livehead.frames import Samples

RATE = 16_000
BLOCK = 160


def voice(seconds: float = 2.0, seed: int = 0) -> Samples:
    """Noise [N] that swells and falls four times a second, as syllables do."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.1, len(times))
    return np.asarray(noise * (0.6 - 0.5 * np.cos(2 * np.pi * 4 * times)), np.float32)


def mixed(samples: Samples, block: int = BLOCK) -> Samples:
    """The stream [C, N], mixed down block by block."""
    mixer = SpeechDownmixer()
    return np.concatenate([mixer(samples[:, at : at + block], RATE) for at in range(0, samples.shape[1], block)])


def decibels(samples: Samples) -> float:
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-20))


SILENCE = np.zeros_like(voice())
LAYOUTS = {
    "mono": [voice()],
    "the same in both": [voice(), voice()],
    "in counter-phase": [voice(), -voice()],
    "in counter-phase, one side a little quieter": [voice(), -0.8 * voice()],
    "left only": [voice(), SILENCE],
    "right only": [SILENCE, voice()],
    "centre of 5.1": [SILENCE, SILENCE, voice(), SILENCE, SILENCE, SILENCE],
    "centre of 5.1 under louder music": [
        2 * voice(seed=1), 2 * voice(seed=2), voice(), SILENCE, voice(seed=3), voice(seed=4)
    ],
    "centre of 5.1 over a rumble": [SILENCE, SILENCE, voice(), 5 * voice(seed=1), SILENCE, SILENCE],
    "both fronts of 5.1": [voice(), voice(), SILENCE, SILENCE, SILENCE, SILENCE],
    "centre of 7.1": [SILENCE, SILENCE, voice(), SILENCE, SILENCE, SILENCE, SILENCE, SILENCE],
    "one of four": [SILENCE, SILENCE, SILENCE, voice()],
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("block", [BLOCK, RATE // 3])
def test_a_voice_keeps_its_level_wherever_it_was_recorded(name: str, block: int) -> None:
    samples = np.stack(LAYOUTS[name])
    assert abs(decibels(mixed(samples, block)[1600:]) - decibels(voice()[1600:])) < 0.5


def test_two_unlike_channels_become_their_mean() -> None:
    samples = np.stack([voice(), voice(seed=1)])
    np.testing.assert_allclose(mixed(samples)[RATE:], samples.mean(axis=0)[RATE:], atol=1e-6)


def test_one_channel_passes_unchanged() -> None:
    np.testing.assert_array_equal(mixed(voice()[None]), voice())


def test_a_change_of_wiring_in_the_middle_makes_no_click() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 220 * np.arange(4 * RATE) / RATE).astype(np.float32)
    samples = np.stack([tone, tone])
    samples[1, RATE : 2 * RATE] *= -1
    samples[1, 2 * RATE :] = 0
    samples[0, 3 * RATE :], samples[1, 3 * RATE :] = 0, tone[3 * RATE :]
    sound = mixed(samples)
    steps = np.abs(np.diff(sound))
    for at in (1, 2, 3):  # the blow of the wire itself may be heard, but nothing later
        steps[at * RATE - 1 : at * RATE + 1] = 0
    assert steps.max() < 2 * np.abs(np.diff(tone)).max()
    for at in (0.5, 1.5, 2.5, 3.5):
        assert abs(decibels(sound[round(at * RATE) : round((at + 0.5) * RATE)]) - decibels(tone)) < 1


def test_the_choice_outlasts_a_pause_with_noise_in_it() -> None:
    hum = 0.003 * voice(seed=5)
    samples = np.concatenate(
        [np.stack([voice(), -voice()]), np.stack([hum, hum]), np.stack([voice(), -voice()])], axis=1
    )
    onset = slice(2 * len(voice()), 2 * len(voice()) + RATE // 8)
    assert abs(decibels(mixed(samples)[onset]) - decibels(samples[0, onset])) < 0.5


def test_sound_that_is_no_number_is_silent() -> None:
    samples = np.full((2, BLOCK), np.nan, np.float32)
    np.testing.assert_array_equal(SpeechDownmixer()(samples, RATE), np.zeros(BLOCK))


@pytest.mark.parametrize(("given", "wanted"), [(1, 2), (2, 1), (2, 2), (6, 1), (1, 6)])
def test_a_block_is_fitted_to_the_channels_of_a_recording(given: int, wanted: int) -> None:
    samples = np.tile(voice()[:BLOCK], (given, 1))
    fitted = fit_channels(samples, RATE, wanted, SpeechDownmixer())
    assert fitted.shape == (wanted, BLOCK)
    np.testing.assert_allclose(fitted, np.tile(voice()[:BLOCK], (wanted, 1)), atol=1e-6)


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_surround_sound_keeps_music_and_voice_in_stereo(count: int) -> None:
    left, centre = 0.3 * voice(seed=1), 0.3 * voice()
    samples = np.zeros((count, len(left)), np.float32)
    samples[0], samples[2] = left, centre
    stereo = fit_channels(samples, RATE, 2, SpeechDownmixer())
    assert stereo.shape == (2, len(left))
    np.testing.assert_allclose(stereo[0] - stereo[1], left, atol=1e-6)
    assert decibels(stereo[1]) == pytest.approx(decibels(centre) - 3.01, abs=0.01)
    power = np.square(stereo).sum() / np.square(samples).sum()
    assert power == pytest.approx(1, abs=0.05)
