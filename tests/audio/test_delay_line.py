"""A tone goes in as a microphone gives it and comes out as a sound card asks for it, on a clock turned by hand."""

import numpy as np
import pytest

from livehead.audio.delay_line import DelayLine
from livehead.frames import AudioFrame

RATE = 48_000
HZ = 440.0
START_NS = 7_000_000_000
STEEPEST = 2 * np.pi * HZ / RATE
"""Largest jump from sample to sample of the tone itself."""


def tone(first: int, count: int, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * HZ * np.arange(first, first + count) / rate).astype(np.float32)[None]


class Rig:
    """A microphone whose blocks of 20 ms come when they are complete; a card that plays 10 ms after it asked."""

    def __init__(self, line: DelayLine, *, rate: int = RATE, out_rate: int = RATE) -> None:
        self.line, self.rate, self.out_rate = line, rate, out_rate
        self.taken = self.now_ms = 0
        self.heard: list[np.ndarray] = []
        self.waiting: list[AudioFrame] = []

    @property
    def now_ns(self) -> int:
        return START_NS + self.now_ms * 1_000_000

    def play(self, seconds: float, *, drift: float = 0.0, deaf: bool = False, late_ms: int = 0) -> np.ndarray:
        """``drift``: how much quicker the microphone's clock is than ours; ``deaf``: its blocks are lost."""
        begun = len(self.heard)
        for _ in range(round(seconds * 100)):
            block = self.rate // 50
            if self.now_ms % 20 == 0 and self.now_ms:
                pts = self.taken
                self.taken += block
                if not deaf:
                    moment = START_NS + (self.now_ms - 20) * 1_000_000
                    samples = tone(pts, round(block * (1 + drift)), self.rate)
                    self.waiting.append(AudioFrame(samples, self.rate, pts, moment))
            while self.waiting and self.waiting[0].captured_ns + (20 + late_ms) * 1_000_000 <= self.now_ns:
                self.line.write(self.waiting.pop(0))
            heard_ns = START_NS + (self.now_ms + 10) * 1_000_000
            self.heard.append(self.line.read(self.out_rate // 100, self.out_rate, heard_ns))
            self.now_ms += 10
        return np.concatenate(self.heard[begun:])


def off_s(sound: np.ndarray, since_s: float, delay_s: float, rate: int = RATE) -> float:
    """How far ``sound``, heard from ``since_s`` on, is from following the tone by ``delay_s``; modulo its period."""
    t = since_s + 0.01 + np.arange(len(sound)) / rate - delay_s
    return abs(float(np.angle(np.mean(sound * np.exp(-2j * np.pi * HZ * t)) * 1j))) / (2 * np.pi * HZ)


def test_nothing_is_heard_before_a_delay_is_known() -> None:
    assert not Rig(DelayLine()).play(0.5).any()


@pytest.mark.parametrize(("rate", "out_rate"), [(48_000, 48_000), (48_000, 44_100), (16_000, 48_000), (48_000, 8000)])
def test_a_sample_is_heard_one_delay_after_its_capture(rate: int, out_rate: int) -> None:
    line = DelayLine()
    line.delay_s = 0.12
    rig = Rig(line, rate=rate, out_rate=out_rate)
    rig.play(0.5)
    sound = rig.play(0.5)
    assert np.abs(sound).max() == pytest.approx(1, abs=0.01)
    assert off_s(sound, 0.5, 0.12, out_rate) < 3e-4
    assert line.underruns == 0


@pytest.mark.parametrize("target_s", [0.125, 0.095, 0.4, 0.02])
def test_a_changed_delay_makes_no_click_and_is_reached(target_s: float) -> None:
    line = DelayLine()
    line.delay_s = 0.11
    rig = Rig(line)
    rig.play(0.5)
    line.delay_s = target_s
    sound = rig.play(12.0)
    assert np.abs(np.diff(sound)).max() < 1.2 * STEEPEST
    assert line.effective_delay_s == pytest.approx(max(target_s, 0.04), abs=0.015), (
        "sound that is not there yet cannot be heard"
    )
    assert off_s(sound[-RATE:], 11.5, line.effective_delay_s) < 4e-4


def test_the_clocks_drift_is_followed() -> None:
    line = DelayLine()
    line.delay_s = 0.1
    sound = Rig(line).play(20.0, drift=0.001)
    assert line.underruns == 0
    assert np.abs(np.diff(sound)).max() < 1.2 * STEEPEST


def test_sound_that_comes_later_than_its_delay_is_held_longer_until_it_no_longer_breaks_off() -> None:
    line = DelayLine()
    line.delay_s = 0.005
    rig = Rig(line)
    sound = rig.play(2.0)
    assert np.abs(np.diff(sound)).max() < 1.2 * STEEPEST
    broken = line.underruns
    assert line.effective_delay_s >= 0.02
    rig.play(2.0)
    assert line.underruns == broken


def test_after_a_stall_it_is_held_no_longer_than_needed_again() -> None:
    line = DelayLine()
    line.delay_s = 0.03
    rig = Rig(line)
    rig.play(1.0)
    rig.play(5.0, late_ms=150)
    assert 0.15 < line.effective_delay_s < 0.25
    rig.play(20.0)
    assert line.effective_delay_s < 0.08
    assert np.abs(rig.play(1.0)).max() > 0.9


def test_a_microphone_that_is_lost_for_a_while_fades_out_and_comes_back() -> None:
    line = DelayLine()
    line.delay_s = 0.1
    rig = Rig(line)
    rig.play(0.5)
    lost = rig.play(1.0, deaf=True)
    back = rig.play(1.0)
    for sound in (lost, back):
        assert np.abs(np.diff(sound)).max() < 1.2 * STEEPEST
    assert not lost[-RATE // 2 :].any()
    assert off_s(back[-RATE // 2 :], 2.0, 0.1) < 3e-4
    assert line.underruns == 1


def test_another_sound_drops_softly_what_was_not_heard_yet() -> None:
    line = DelayLine()
    line.delay_s = 0.3
    rig = Rig(line)
    before = rig.play(0.6)
    line.write(AudioFrame(np.zeros((1, 960), np.float32), RATE, 0, START_NS + 580 * 1_000_000))
    after = rig.play(0.1, deaf=True)
    whole = np.concatenate([before, after])
    assert np.abs(before[-480:]).max() > 0.9
    assert not after[960:].any(), "silent 20 ms later, although 0.3 s were waiting"
    assert np.abs(np.diff(whole)).max() < 1.2 * STEEPEST


def test_a_change_of_the_microphone_s_rate_is_survived() -> None:
    line = DelayLine()
    line.delay_s = 0.1
    rig = Rig(line)
    rig.play(0.5)
    rig.rate, rig.taken = 16_000, round(rig.now_ms / 1000 * 16_000)
    sound = rig.play(1.0)
    assert np.abs(sound[RATE // 2 :]).max() == pytest.approx(1, abs=0.01)


def test_in_a_pause_it_goes_to_the_right_place_at_once() -> None:
    line = DelayLine()
    line.delay_s = 0.1
    for number in range(100):
        moment = START_NS + number * 20_000_000
        samples = tone(number * 960, 960) * (number >= 50)
        line.write(AudioFrame(samples.astype(np.float32), RATE, number * 960, moment))
    line.read(480, RATE, START_NS + 500_000_000)
    line.delay_s = 0.14
    heard = [line.read(480, RATE, START_NS + (510 + 10 * number) * 1_000_000) for number in range(100)]
    assert off_s(np.concatenate(heard)[-RATE // 4 :], 1.25, 0.14) < 1e-4
