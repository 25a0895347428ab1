"""The body in the camera becomes motion; a lost body is told, and its last motion kept."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from livehead.animator import Animator
from livehead.drivers.body import BodyDriver
from livehead.errors import ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import Inputs
from livehead.renderers.warp import WarpRenderer

FRAME_NS = 33_333_333


@pytest.fixture
def driver() -> Iterator[BodyDriver]:
    driver = BodyDriver()
    yield driver
    driver.close()


def inputs(image: Image, index: int) -> Inputs:
    return Inputs(VideoFrame(image, index, Fraction(1, 30), index * FRAME_NS), None, index * FRAME_NS)


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
    assert driver.estimate(Inputs(None, None, 9)) is lost


def test_reset_forgets_the_person(driver: BodyDriver, picture: Image) -> None:
    driver.estimate(inputs(picture, 0))
    driver.reset()
    assert not driver.estimate(inputs(np.zeros_like(picture), 1)).value.any()


def test_a_renderer_of_faces_does_not_take_it_and_both_are_named(driver: BodyDriver) -> None:
    with pytest.raises(ConfigError, match="gives body25 and the renderer takes .*mesh478"):
        Animator(driver, WarpRenderer(64), [])  # type: ignore[arg-type]
