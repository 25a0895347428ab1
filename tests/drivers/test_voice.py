"""A voice drives, and the avatar speaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from livehead.bench.voice_timing import synthesize_babble
from livehead.clock import NS
from livehead.drivers.voice import VoiceDriver
from livehead.evaluation.speech import lip_opening
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import DriverInputs
from livehead.models.voice.build import VoiceModel, load_voice_model
from livehead.models.voice.network import LOOK_AHEAD_S
from livehead.motion.keypoints import Array, Keypoints
from livehead.perception.voice_activity import VoiceActivityDetector

RATE = 16_000
BLOCK = 320
LATER_NS = 5 * NS  # clocks need not start at 0


class Credulous:
    """Takes every sound for speech."""

    def reset(self) -> None:
        pass

    def speech_probabilities(self, samples: Samples) -> Samples:
        return np.ones(len(samples) // 512, np.float32)


@pytest.fixture(scope="module")
def model() -> VoiceModel:
    return load_voice_model()


@pytest.fixture
def driver(source: Keypoints, model: VoiceModel) -> VoiceDriver:
    return VoiceDriver(source, model, Credulous())


def block(sound: Samples, start: int, end: int) -> DriverInputs:
    """``sound`` from sample ``start`` to ``end``, as a capture would stamp it."""
    frame = AudioFrame(sound[None, start:end], RATE, start, LATER_NS + start * NS // RATE)
    return DriverInputs(None, frame, LATER_NS + end * NS // RATE)


def spoken(driver: VoiceDriver, sound: Samples, start: int = 0) -> list[Keypoints]:
    return [driver.estimate(block(sound, at, at + BLOCK)) for at in range(start, len(sound) - BLOCK + 1, BLOCK)]


def mouth(motions: list[Keypoints]) -> Array:
    return lip_opening(np.stack([motion.points3d()[0] for motion in motions]))


def test_speech_opens_the_mouth_and_its_end_closes_it_within_a_tenth_of_a_second(driver: VoiceDriver) -> None:
    sound = np.concatenate([synthesize_babble(2.0), np.zeros(RATE // 2, np.float32)])
    opened = mouth(spoken(driver, sound))
    speaking, since_end = opened[20:100], opened[100:]
    assert speaking.max() > 0.02
    assert since_end[7:].max() < 0.1 * speaking.mean()


def test_motion_is_stamped_with_the_moment_of_the_sound_that_it_shows(driver: VoiceDriver) -> None:
    inputs = block(synthesize_babble(0.5), 0, 4000)
    assert driver.estimate(inputs).captured_ns == inputs.now_ns - round(LOOK_AHEAD_S * NS)


def test_a_ring_of_the_last_second_is_heard_as_its_new_part_alone(source: Keypoints, model: VoiceModel) -> None:
    sound = synthesize_babble(2.5)
    by_block, by_ring = VoiceDriver(source, model), VoiceDriver(source, model)
    for end in range(BLOCK, len(sound) + 1, BLOCK):
        one = by_block.estimate(block(sound, end - BLOCK, end))
        other = by_ring.estimate(block(sound, max(end - RATE, 0), end))
        np.testing.assert_allclose(one.value, other.value, atol=1e-5)
        assert one.captured_ns == other.captured_ns


def test_the_same_sound_again_moves_nothing_but_what_idles(driver: VoiceDriver) -> None:
    sound = synthesize_babble(1.0)
    first, again = (driver.estimate(block(sound, 0, len(sound))) for _ in range(2))
    np.testing.assert_array_equal(first.value, again.value)


def test_after_a_jump_in_the_sound_nothing_of_before_is_heard_and_the_mouth_does_not_jump(
    source: Keypoints, model: VoiceModel
) -> None:
    sound = synthesize_babble(4.0)
    driver, fresh = VoiceDriver(source, model), VoiceDriver(source, model)
    before = mouth(spoken(driver, sound[:RATE]))
    after = mouth(spoken(driver, sound, 2 * RATE))
    steps = np.abs(np.diff(np.concatenate([before, after])))
    assert steps[len(before) - 1] <= max(steps[: len(before) - 1].max(), 0.005)
    alone = mouth(spoken(fresh, sound, 2 * RATE))
    np.testing.assert_allclose(after[10:], alone[10:], rtol=0.06, atol=1e-3)  # the heads are turned otherwise


def test_no_sound_is_silence(driver: VoiceDriver) -> None:
    sound = synthesize_babble(1.0)
    speaking = mouth(spoken(driver, sound))
    end_ns = LATER_NS + NS
    quiet = [driver.estimate(DriverInputs(None, None, end_ns + number * NS // 30)) for number in range(1, 20)]
    assert mouth(quiet)[3:].max() < 0.1 * speaking.max()
    assert [motion.captured_ns for motion in quiet] == sorted(motion.captured_ns for motion in quiet)


def test_it_can_begin_without_sound(driver: VoiceDriver, source: Keypoints) -> None:
    motion = driver.estimate(DriverInputs(None, None, 0))
    assert motion.set == driver.motion_set == source.set
    assert mouth([motion])[0] < 0.003
    assert np.isfinite(motion.value).all()


def test_every_new_driver_hears_the_same(source: Keypoints, model: VoiceModel) -> None:
    sound = synthesize_babble(1.0)
    first, second = (spoken(VoiceDriver(source, model, Credulous()), sound) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.value, other.value)


@pytest.mark.parametrize("kind", ["white", "hum", "music"])
def test_noise_and_music_soon_leave_the_mouth_shut(source: Keypoints, model: VoiceModel, kind: str) -> None:
    times = np.arange(4 * RATE) / RATE
    sound = {
        "white": 0.1 * np.random.default_rng(0).standard_normal(len(times)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * times),
        "music": sum(
            0.1 * np.sin(2 * np.pi * f * times) * (1 + np.sin(2 * np.pi * 2 * times)) for f in (262, 330, 392)
        ),
    }[kind].astype(np.float32)
    speech = mouth(spoken(VoiceDriver(source, model, Credulous()), synthesize_babble(2.0)))
    opened = mouth(spoken(VoiceDriver(source, model, VoiceActivityDetector()), sound))
    assert opened[100:].mean() < 0.1 * speech.max()


def test_eyes_blink_while_it_speaks(driver: VoiceDriver) -> None:
    torch.manual_seed(0)
    sound = synthesize_babble(12.0)
    lids = [float(np.linalg.norm(motion.value[0, 159] - motion.value[0, 145])) for motion in spoken(driver, sound)[::2]]
    assert min(lids) < 0.4 * np.median(lids)
