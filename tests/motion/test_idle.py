"""Left to itself a face lives a little."""

from __future__ import annotations

import numpy as np

from livehead.motion.idle import IdleMotion
from livehead.motion.keypoints import Keypoints

SECONDS = np.arange(0, 120, 1 / 30)


def test_it_is_a_function_of_time_and_seed(source: Keypoints) -> None:
    first, second, other = IdleMotion(source, 1), IdleMotion(source, 1), IdleMotion(source, 2)
    late = first.at(50_000_000_000)
    second.at(3_000_000_000)
    np.testing.assert_array_equal(second.at(50_000_000_000).value, late.value)
    assert np.abs(other.at(50_000_000_000).value - late.value).max() > 1e-4


def test_it_blinks_at_natural_intervals_and_shuts_the_eyes_fully(source: Keypoints) -> None:
    motion = IdleMotion(source)
    blink = np.array([motion.pose(t).blink for t in SECONDS[::2]])
    starts = SECONDS[::2][1:][(blink[1:] > 0.5) & (blink[:-1] <= 0.5)]
    assert 15 <= len(starts) <= 60
    assert np.diff(starts).min() > 1.0
    assert max(motion.pose(t).blink for t in np.arange(0, 30, 0.01)) == 1.0


def test_the_head_sways_little_and_slowly(source: Keypoints) -> None:
    motion = IdleMotion(source)
    yaw = np.array([motion.pose(t).yaw for t in SECONDS])
    assert 0.5 < np.abs(yaw).max() < 3
    assert np.abs(np.diff(yaw)).max() < 0.1
