"""Recorded motion plays at its own pace, forth and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.drivers.replay import ReplayDriver
from livehead.interfaces import DriverInputs
from livehead.motion.keypoints import Keypoints

SECOND_NS = 1_000_000_000


@pytest.fixture
def recording(source: Keypoints) -> list[Keypoints]:
    """Three seconds, a step to the right every second."""
    return [
        replace(source.with_points(source.value + np.float32(i * 0.1)), captured_ns=i * SECOND_NS) for i in range(4)
    ]


def place(driver: ReplayDriver, source: Keypoints, seconds: float) -> float:
    motion = driver.estimate(DriverInputs(None, None, 50 * SECOND_NS + int(seconds * SECOND_NS)))
    return float((motion.value - source.value).mean())


def test_it_follows_the_time_and_not_the_number_of_calls(source: Keypoints, recording: list[Keypoints]) -> None:
    driver = ReplayDriver(recording)
    assert place(driver, source, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert place(driver, source, 1.0) == pytest.approx(0.1, abs=1e-6)
    assert place(driver, source, 1.5) == pytest.approx(0.15, abs=1e-6)


def test_at_the_end_it_turns_round(source: Keypoints, recording: list[Keypoints]) -> None:
    driver = ReplayDriver(recording)
    place(driver, source, 0.0)
    assert place(driver, source, 3.0) == pytest.approx(0.3, abs=1e-6)
    assert place(driver, source, 3.5) == pytest.approx(0.25, abs=1e-6)
    assert place(driver, source, 6.0) == pytest.approx(0.0, abs=1e-6)
    assert place(driver, source, 7.0) == pytest.approx(0.1, abs=1e-6)


def test_a_recording_of_one_moment_stands_still(source: Keypoints, recording: list[Keypoints]) -> None:
    driver = ReplayDriver(recording[1:2])
    assert place(driver, source, 0.0) == place(driver, source, 5.0) == pytest.approx(0.1, abs=1e-6)


def test_a_gap_without_a_face_is_not_bridged(source: Keypoints, recording: list[Keypoints]) -> None:
    recording[1] = replace(recording[1], confidence=np.zeros(1, np.float32))
    driver = ReplayDriver(recording)
    place(driver, source, 0.0)
    assert place(driver, source, 0.9) == pytest.approx(0.0, abs=1e-6)
    assert not driver.estimate(DriverInputs(None, None, 50 * SECOND_NS + 1_500_000_000)).seen


def test_a_recorded_torso_plays_along(source: Keypoints, recording: list[Keypoints]) -> None:
    told = [replace(each, torso=np.full((1, 3, 2), 0.1 * i, np.float32)) for i, each in enumerate(recording)]
    driver = ReplayDriver([*told[:3], recording[3]])
    place(driver, source, 0.0)
    torso = driver.estimate(DriverInputs(None, None, 50 * SECOND_NS + 1_500_000_000)).torso
    assert torso is not None
    np.testing.assert_allclose(torso, 0.15, atol=1e-6)


def test_what_is_played_once_ends_and_then_nobody_is_seen(source: Keypoints, recording: list[Keypoints]) -> None:
    driver = ReplayDriver(recording, once=True)
    assert place(driver, source, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert place(driver, source, 3.0) == pytest.approx(0.3, abs=1e-6)
    after = driver.estimate(DriverInputs(None, None, 54 * SECOND_NS))
    assert not after.seen
    assert after.captured_ns == 54 * SECOND_NS
