"""The face in the camera becomes motion; a lost face is told, and its last motion kept."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from livehead.drivers.face import FaceDriver
from livehead.frames import Image, VideoFrame
from livehead.interfaces import Inputs

FRAME_NS = 33_333_333


@pytest.fixture
def driver() -> Iterator[FaceDriver]:
    driver = FaceDriver()
    yield driver
    driver.close()


def inputs(image: Image, index: int) -> Inputs:
    return Inputs(VideoFrame(image, index, Fraction(1, 30), index * FRAME_NS), None, index * FRAME_NS)


def test_motion_carries_the_time_of_its_frame(driver: FaceDriver, picture: Image) -> None:
    motion = driver.estimate(inputs(picture, 3))
    assert motion.seen
    assert motion.set == driver.motion_set
    assert motion.captured_ns == 3 * FRAME_NS


def test_while_the_face_is_lost_the_last_motion_is_kept_and_confidence_is_zero(
    driver: FaceDriver, picture: Image
) -> None:
    seen = driver.estimate(inputs(picture, 0))
    for i in range(1, 5):
        lost = driver.estimate(inputs(np.zeros_like(picture), i))
    assert not lost.seen
    assert np.abs(lost.value - seen.value).max() < 0.2
    assert lost.captured_ns == 4 * FRAME_NS
    assert driver.estimate(inputs(picture, 5)).seen


def test_before_any_face_nothing_is_seen(driver: FaceDriver, picture: Image) -> None:
    assert not driver.estimate(inputs(np.zeros_like(picture), 0)).seen
    assert not driver.estimate(Inputs(None, None, 7)).seen


def test_a_picture_with_alpha_is_taken(driver: FaceDriver, picture: Image) -> None:
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    assert driver.estimate(inputs(rgba, 0)).seen
