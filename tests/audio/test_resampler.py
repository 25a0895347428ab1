import numpy as np
import pytest

from livehead.audio.resampler import StreamingResampler, interpolate, kernel_half_width


def sine(hz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


def blocks(samples: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    cuts = np.cumsum(np.resize(sizes, len(samples)))
    return np.split(samples, cuts[cuts < len(samples)])


def test_between_samples_lies_the_sound_itself() -> None:
    rate = 16_000
    positions = np.arange(2000.37, 6000, 0.731)
    for hz in (50, 440, 3000, 6000):
        expected = np.sin(2 * np.pi * hz * positions / rate)
        assert np.abs(interpolate(sine(hz, rate), positions) - expected).max() < 2e-3


def test_at_its_own_samples_a_sound_is_itself_and_silence_lies_around_it() -> None:
    signal = sine(300, 16_000, 0.1)
    assert np.abs(interpolate(signal, np.arange(100.0, 1500.0)) - signal[100:1500]).max() < 1e-3
    assert not interpolate(signal, np.array([-5000.0, 1e6])).any()


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48_000, 16_000), (44_100, 16_000), (8000, 16_000), (96_000, 48_000)]
)
def test_a_stream_in_blocks_keeps_its_time(rate_in: int, rate_out: int) -> None:
    resampler = StreamingResampler(rate_in, rate_out)
    given = [resampler(block) for block in blocks(sine(700, rate_in), (960, 1, 37, 480))]
    sound = np.concatenate(given)
    assert resampler.pending_s <= (kernel_half_width(rate_out / rate_in) + 1) / rate_in
    assert abs(len(sound) / rate_out + resampler.pending_s - 1) < 1e-9
    expected = sine(700, rate_out)[: len(sound)]
    assert np.abs(sound - expected)[200:].max() < 2e-3


def test_what_the_output_rate_cannot_hold_is_filtered_out() -> None:
    loud = StreamingResampler(48_000, 16_000)(sine(11_000, 48_000))
    assert np.abs(loud[200:]).max() < 2e-3


def test_a_rate_that_is_a_multiple_gives_what_any_other_would() -> None:
    chance = np.random.default_rng(1)
    noise = chance.normal(size=4800).astype(np.float32)
    given = np.concatenate([*map(StreamingResampler(48_000, 16_000), blocks(noise, (7, 960, 5, 331)))])
    expected = interpolate(noise, np.arange(len(given)) * 3.0, 1 / 3)
    assert np.abs(given - expected).max() < 1e-5


def test_equal_rates_pass_everything_at_once() -> None:
    resampler = StreamingResampler(16_000, 16_000)
    samples = sine(100, 16_000, 0.02)
    assert np.array_equal(resampler(samples), samples)
    assert resampler.pending_s == 0
