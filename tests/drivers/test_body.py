"""The body in the camera becomes motion; a lost body is told, and its last motion kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest

from livehead.animator import Animator
from livehead.drivers.body import BodyDriver
from livehead.errors import ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.renderers.warp.renderer import WarpRenderer

FRAME_NS = 33_333_333


@pytest.fixture
def driver() -> Iterator[BodyDriver]:
    driver = BodyDriver()
    yield driver
    driver.close()


def inputs(image: Image, index: int) -> DriverInputs:
    return DriverInputs(VideoFrame(image, index, Fraction(1, 30), index * FRAME_NS), None, index * FRAME_NS)


def test_motion_carries_the_time_of_its_frame(driver: BodyDriver, picture: Image) -> None:
    motion = driver.estimate(inputs(picture, 3))
    assert motion.seen
    assert motion.set == driver.motion_set == "body25"
    assert motion.captured_ns == 3 * FRAME_NS
    assert motion.confidence[0, 0] > 0.9


def test_while_the_body_is_lost_the_last_motion_is_kept_and_confidence_is_zero(
    driver: BodyDriver, picture: Image
) -> None:
    nothing = np.zeros_like(picture)
    assert not driver.estimate(inputs(nothing, 0)).seen
    seen = driver.estimate(inputs(picture, 1))
    for index in range(2, 6):
        lost = driver.estimate(inputs(nothing, index))
    assert not lost.seen
    assert lost.captured_ns == 5 * FRAME_NS
    np.testing.assert_array_equal(lost.value, seen.value)
    assert driver.estimate(DriverInputs(None, None, 9)) is lost


def test_of_two_people_one_is_followed_and_kept_to(driver: BodyDriver, picture: Image) -> None:
    both = np.concatenate([picture, picture[:, ::-1]], axis=1)
    noses = [driver.estimate(inputs(both, index)).value[0, 0] for index in range(6)]
    assert np.ptp(noses, axis=0).max() < 0.05


def test_somebody_tiny_is_found_or_not_but_breaks_nothing(driver: BodyDriver, picture: Image) -> None:
    wide = np.full((480, 640, 3), 128, np.uint8)
    wide[200:240, 300:340] = picture[::13, ::13][:40, :40]
    motion = driver.estimate(inputs(wide, 0))
    assert np.isfinite(motion.value).all()


def test_half_a_body_is_told_with_its_other_half_unsure(driver: BodyDriver, picture: Image) -> None:
    motion = driver.estimate(inputs(picture, 0))
    sure = motion.confidence[0]
    assert sure[[0, 1, 2, 5]].min() > 0.9  # nose, neck, shoulders
    assert sure[[10, 11, 13, 14, 20, 23]].max() < 0.3  # knees, ankles, the small toes that MediaPipe does not know


def test_a_new_driver_knows_nobody(driver: BodyDriver, picture: Image) -> None:
    driver.estimate(inputs(picture, 0))
    with closing(BodyDriver()) as other:
        assert not other.estimate(inputs(np.zeros_like(picture), 1)).value.any()


def test_a_renderer_of_faces_does_not_take_it_and_both_are_named(driver: BodyDriver) -> None:
    with pytest.raises(ConfigError, match="gives body25 and the renderer takes .*mesh478"):
        Animator(driver, WarpRenderer(), [], size=64)  # type: ignore[arg-type]
