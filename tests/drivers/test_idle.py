"""Nobody drives, and the avatar lives."""

from __future__ import annotations

import numpy as np

from livehead.drivers.idle import IdleDriver
from livehead.interfaces import DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleMotion

HOUR_NS = 3_600_000_000_000


def test_its_time_begins_with_the_first_call(source: Keypoints) -> None:
    driver = IdleDriver(source, seed=4)
    driver.estimate(DriverInputs(None, None, HOUR_NS))
    motion = driver.estimate(DriverInputs(None, None, HOUR_NS + 2_000_000_000))
    np.testing.assert_array_equal(motion.value, IdleMotion(source, 4).motion_at(2_000_000_000).value)
    assert motion.captured_ns == HOUR_NS + 2_000_000_000
    assert motion.set == driver.motion_set


def test_every_new_driver_starts_alike_and_from_the_avatar_s_own_motion(source: Keypoints) -> None:
    first = IdleDriver(source).estimate(DriverInputs(None, None, 0))
    np.testing.assert_array_equal(IdleDriver(source).estimate(DriverInputs(None, None, HOUR_NS)).value, first.value)
    assert IdleDriver(source).neutral_motion is source
