"""What it costs to be driven by a voice."""

from __future__ import annotations

import numpy as np

from livehead.bench.voice_timing import RATE, measure_real_time_factor, slide_audio_window, synthesize_babble
from livehead.interfaces import DriverInputs
from livehead.motion.keypoints import Keypoints


class Counting:
    """A driver that notes what it is given."""

    motion_set = "none"

    def __init__(self) -> None:
        self.ends: list[int] = []

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        assert inputs.audio is not None
        self.ends.append(inputs.audio.pts + inputs.audio.samples.shape[1])
        nothing = np.zeros((1, 1, 2), np.float32)
        return Keypoints("none", nothing, None, None, np.ones(1, np.float32), 0)

    def close(self) -> None:
        """There is nothing to free."""


def test_babble_is_loud_and_quiet() -> None:
    sound = synthesize_babble(8.0)
    loudness = np.sqrt(np.square(sound.reshape(-1, 320)).mean(axis=1))
    assert np.abs(sound).max() <= 1
    assert np.percentile(loudness, 5) < 0.001 < 0.05 < np.percentile(loudness, 80)


def test_the_ring_holds_the_last_second() -> None:
    frames = list(slide_audio_window(synthesize_babble(2.0), 30))
    assert len(frames) == 60
    assert [frame.pts + frame.samples.shape[1] for frame in frames] == [round(n * RATE / 30) for n in range(1, 61)]
    assert max(frame.samples.shape[1] for frame in frames) == RATE


def test_the_factor_counts_every_call_of_the_time_asked_for() -> None:
    driver = Counting()
    figures = measure_real_time_factor(driver, 3.0, 25)
    assert len(driver.ends) == 2 * 25 + 75  # the warm-up comes first
    assert driver.ends == sorted(driver.ends)
    assert figures["estimate"]["n"] == 75
    assert 0 <= figures["real_time_factor"] < 1
