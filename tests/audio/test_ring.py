import numpy as np
import pytest

from livehead.audio.rates import DRIVER_RATE
from livehead.audio.ring import AudioRingBuffer
from livehead.clock import NS
from livehead.frames import AudioFrame

START_NS = 5_000_000_000


def block(
    at_s: float, seconds: float = 0.02, *, rate: int = DRIVER_RATE, pts: int | None = None, level: float = 1.0
) -> AudioFrame:
    count = round(seconds * rate)
    samples = np.full((1, count), level, np.float32)
    return AudioFrame(samples, rate, round(at_s * rate) if pts is None else pts, START_NS + round(at_s * NS))


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS)


def newest(ring: AudioRingBuffer, at_s: float) -> AudioFrame:
    sound = ring.read_newest(at(at_s))
    assert sound is not None
    return sound


def end_s(sound: AudioFrame) -> float:
    return (sound.captured_ns - START_NS) / NS + sound.duration_s


def test_before_any_sound_there_is_none() -> None:
    assert AudioRingBuffer().read_newest(at(1)) is None


def test_it_holds_the_newest_second_with_its_number_and_time() -> None:
    ring = AudioRingBuffer()
    for number in range(75):
        ring.put(block(number * 0.02, level=number))
    sound = newest(ring, 1.5)
    assert sound.samples.shape == (1, DRIVER_RATE)
    assert sound.pts == DRIVER_RATE // 2
    assert sound.captured_ns == at(0.5)
    assert sound.samples[0, 0] == 25
    assert sound.samples[0, -1] == 74


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 96_000])
def test_another_rate_and_one_side_of_stereo_become_mono_at_16_khz_in_their_own_time(rate: int) -> None:
    ring = AudioRingBuffer()
    t = np.arange(rate) / rate
    tone = np.stack([np.sin(2 * np.pi * 500 * t), np.zeros(rate)]).astype(np.float32)
    step = rate // 50
    for first in range(0, rate, step):
        ring.put(AudioFrame(tone[:, first : first + step], rate, first, at(first / rate)))
    sound = newest(ring, 1.0)
    assert 0.99 < end_s(sound) <= 1.0
    moments = (sound.captured_ns - START_NS) / NS + np.arange(sound.samples.shape[1]) / DRIVER_RATE
    middle = slice(400, -400)
    assert np.abs(sound.samples[0] - np.sin(2 * np.pi * 500 * moments))[middle].max() < 0.01


def test_a_gap_is_silence_and_counted_and_time_goes_on() -> None:
    gaps: list[int] = []
    ring = AudioRingBuffer(on_gap=lambda: gaps.append(1))
    ring.put(block(0.0, 0.1))
    ring.put(block(0.2, 0.1))
    sound = newest(ring, 0.3)
    assert gaps == [1]
    assert sound.pts == 0
    assert sound.samples.shape[1] == 0.3 * DRIVER_RATE
    heard = sound.samples[0].reshape(3, -1).mean(axis=1)
    assert heard.tolist() == [1, 0, 1]


def test_jitter_of_the_time_stamps_is_no_gap() -> None:
    gaps: list[int] = []
    ring = AudioRingBuffer(on_gap=lambda: gaps.append(1))
    for number in range(50):
        ring.put(block(number * 0.02 + 0.01 * (-1) ** number, pts=number * 320))
    assert not gaps
    assert newest(ring, 1.0).samples.min() == 1


def test_a_gap_longer_than_the_ring_makes_the_numbers_jump() -> None:
    ring = AudioRingBuffer()
    ring.put(block(0.0, 0.1))
    ring.put(block(5.0, 0.1))
    sound = newest(ring, 5.1)
    assert sound.pts + sound.samples.shape[1] == round(5.1 * DRIVER_RATE)
    assert sound.pts > 0.1 * DRIVER_RATE


def test_an_overlap_is_heard_once() -> None:
    ring = AudioRingBuffer()
    ring.put(block(0.0, 0.2))
    ring.put(block(0.1, 0.2, pts=round(0.2 * DRIVER_RATE), level=2.0))
    sound = newest(ring, 0.3)
    assert sound.samples.shape[1] == round(0.3 * DRIVER_RATE)
    assert end_s(sound) == pytest.approx(0.3, abs=1e-3)
    assert sound.samples[0, round(0.25 * DRIVER_RATE)] == 2


def test_another_sound_is_told_by_numbers_that_go_back_and_forgets_the_one_before() -> None:
    ring = AudioRingBuffer()
    ring.put(block(0.0, 0.5, pts=4000))
    before = newest(ring, 0.5)
    ring.put(block(0.5, 0.02, pts=0, level=0.5))
    after = newest(ring, 0.52)
    assert after.pts > before.pts + before.samples.shape[1], "a driver sees that the sound does not go on"
    assert not after.samples[0, :-320].any()
    assert (after.samples[0, -320:] == 0.5).all()
    assert end_s(after) == pytest.approx(0.52)


def test_a_capture_that_says_nothing_is_followed_by_silence_until_it_is_back() -> None:
    ring = AudioRingBuffer()
    ring.put(block(0.0, 0.5))
    assert newest(ring, 0.6).samples.min() == 1, "a late block is no silence yet"
    quiet = newest(ring, 1.2)
    assert end_s(quiet) == pytest.approx(1.17, abs=1e-3)
    assert not quiet.samples[0, -9000:].any()
    ring.put(block(1.3, 0.1))
    back = newest(ring, 1.4)
    assert end_s(back) == pytest.approx(1.4, abs=1e-3)
    assert (back.samples[0, -1600:] == 1).all()
    assert back.pts + back.samples.shape[1] == round(1.4 * DRIVER_RATE)
