from pathlib import Path

import numpy as np
import pytest

from livehead.bench.av_offset import SampledCurve, estimate_offset, to_loudness_curve, to_sound_curve
from livehead.bench.vowel_bursts import RATE, synthesize_vowel_bursts, write_wav
from livehead.clock import NS
from livehead.errors import DeviceError
from livehead.frames import AudioFrame


def frames(sound: np.ndarray, start_s: float) -> list[AudioFrame]:
    return [
        AudioFrame(sound[None, first : first + 480], RATE, first, round((start_s + first / RATE) * NS))
        for first in range(0, len(sound), 480)
    ]


def mouth(sound: np.ndarray, start_s: float, fps: float = 30.0) -> SampledCurve:
    """A mouth that opens quickly and closes slowly, as in a film of ``fps``."""
    loud = to_loudness_curve(to_sound_curve(frames(sound, start_s)))
    times = np.arange(loud.times[0], loud.times[-1], 1 / fps)
    return SampledCurve(times, np.interp(times, loud.times, loud.values) ** 0.5)


@pytest.mark.parametrize("later_ms", [-180, -35, 0, 12, 140])
def test_the_shift_of_sound_to_picture_is_found(later_ms: int) -> None:
    sound = synthesize_vowel_bursts(10, seed=3)
    found = estimate_offset(
        mouth(sound, 100.0), to_loudness_curve(to_sound_curve(frames(sound, 100.0 + later_ms / 1000)))
    )
    assert found.ms == pytest.approx(later_ms, abs=5)
    assert found.correlation > 0.9


def test_a_mouth_that_does_something_else_is_told() -> None:
    one, other = synthesize_vowel_bursts(30, seed=1), synthesize_vowel_bursts(30, seed=2)
    with pytest.raises(DeviceError, match="does not follow"):
        estimate_offset(mouth(one, 0.0), to_loudness_curve(to_sound_curve(frames(other, 0.0))))
    with pytest.raises(DeviceError, match="longer"):
        estimate_offset(mouth(one[:RATE], 0.0), to_loudness_curve(to_sound_curve(frames(one[:RATE], 0.0))))
    with pytest.raises(DeviceError, match="no sound"):
        to_sound_curve([])


def test_the_signal_is_bursts_and_silence(tmp_path: Path) -> None:
    sound = synthesize_vowel_bursts(8)
    loud = np.abs(sound.reshape(-1, 480)).max(axis=1) > 0.1
    assert 0.25 < loud.mean() < 0.6
    assert 6 <= np.flatnonzero(np.diff(loud.astype(int)) == 1).size <= 14
    assert not loud[:20].any()
    assert not loud[-20:].any()
    assert np.abs(sound).max() == pytest.approx(0.6, abs=0.01)
    write_wav(tmp_path / "bursts.wav", sound)
    assert (tmp_path / "bursts.wav").stat().st_size == 44 + 2 * len(sound)
