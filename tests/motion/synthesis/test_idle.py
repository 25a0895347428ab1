"""Left to itself a face lives a little."""

from __future__ import annotations

import numpy as np

from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleControls, IdleMotion

SECONDS = np.arange(0, 120, 1 / 30)


def test_it_is_a_function_of_time_and_seed(source: Keypoints) -> None:
    first, second, other = IdleMotion(source, 1), IdleMotion(source, 1), IdleMotion(source, 2)
    late = first.motion_at(50_000_000_000)
    second.motion_at(3_000_000_000)
    np.testing.assert_array_equal(second.motion_at(50_000_000_000).value, late.value)
    assert np.abs(other.motion_at(50_000_000_000).value - late.value).max() > 1e-4


def test_it_blinks_at_natural_intervals_and_shuts_the_eyes_fully(source: Keypoints) -> None:
    motion = IdleMotion(source)
    blink = np.array([motion.controls_at(t).blink for t in SECONDS[::2]])
    starts = SECONDS[::2][1:][(blink[1:] > 0.5) & (blink[:-1] <= 0.5)]
    assert 15 <= len(starts) <= 60
    assert np.diff(starts).min() > 0.45
    assert max(motion.controls_at(t).blink for t in np.arange(0, 30, 0.01)) == 1.0


def test_the_head_sways_little_and_slowly(source: Keypoints) -> None:
    motion = IdleMotion(source)
    yaw = np.array([motion.controls_at(t).yaw for t in SECONDS])
    assert 0.5 < np.abs(yaw).max() < 4
    assert np.abs(np.diff(yaw)).max() < 0.2


def test_it_blinks_as_often_as_people_do() -> None:
    times = np.arange(0, 300, 1 / 20)
    counts = []
    for seed in range(4):
        pose = IdleControls(seed)
        shut = np.array([pose.controls_at(t).blink for t in times]) > 0.5
        counts.append(int((shut[1:] & ~shut[:-1]).sum()))
    assert abs(np.mean(counts) / 5 - 21.2) < 3


def test_its_head_sways_as_much_as_was_measured_and_more_when_told() -> None:
    times = np.arange(0, 600, 0.2)
    calm, lively = (np.array([IdleControls(3, size).controls_at(t).yaw for t in times]) for size in (1.0, 2.0))
    np.testing.assert_allclose(calm.std(), np.sqrt(0.42**2 + 0.71**2 + 0.59**2 + 0.59**2), rtol=0.1)
    np.testing.assert_allclose(lively, 2 * calm)


def test_its_gaze_rests_on_the_camera_between_glances() -> None:
    looks = np.array([IdleControls(1).controls_at(t).look_right for t in np.arange(0, 60, 0.05)])
    assert 0.015 < looks.std() < 0.045
    assert (looks == 0).mean() > 0.3
