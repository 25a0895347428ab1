from contextlib import closing
from fractions import Fraction

import cv2
import numpy as np
import pytest

from livehead.drivers.dagan import DaganDriver
from livehead.frames import VideoFrame
from livehead.interfaces import DriverInputs
from livehead.motion.keypoints import Keypoints

STEP_NS = 33_333_333


def inputs(image, number):
    frame = VideoFrame(np.ascontiguousarray(image), number, Fraction(1, 30), number * STEP_NS)
    return DriverInputs(frame, None, frame.captured_ns)


class DarkestSpot:
    """Eyes that see where a picture is darkest: in the portrait, the collar below the chin."""

    motion_set = "dagan15"

    def detect(self, image, captured_ns=0):
        weight = np.exp(-cv2.GaussianBlur(image.astype(np.float32).mean(axis=2), (0, 0), 6) / 4)
        y, x = np.mgrid[0 : len(image), 0 : len(image)] * 2 / (len(image) - 1) - 1
        place = np.array([(weight * x).sum(), (weight * y).sum()], np.float32) / weight.sum()
        value = np.tile(place, (1, 15, 1)).astype(np.float32)
        jacobian = np.tile(np.eye(2, dtype=np.float32), (1, 15, 1, 1))
        return Keypoints("dagan15", value, None, jacobian, np.ones(1, np.float32), captured_ns)


@pytest.fixture
def driver():
    driver = DaganDriver(DarkestSpot())
    yield driver
    driver.close()


def wide(picture, left):
    """Head and shoulders of the portrait somewhere in a wide grey frame."""
    picture = picture[0:260, 90:350]
    frame = np.full((300, 600, 3), 120, np.uint8)
    frame[:, left : left + 300] = cv2.resize(picture, (300, 300), interpolation=cv2.INTER_AREA)
    return frame


def test_a_square_picture_of_a_face_is_seen_whole(tiny_dagan, picture):
    driver = DaganDriver(tiny_dagan[1])
    motion = driver.estimate(inputs(picture, 0))
    assert motion.set == driver.motion_set == "dagan15"
    assert motion.seen
    np.testing.assert_allclose(motion.value, tiny_dagan[1].detect(picture).value, atol=1e-5)


def test_without_a_face_the_last_good_points_are_kept_with_confidence_0(driver, picture):
    assert not driver.estimate(DriverInputs(None, None, 0)).seen
    seen = driver.estimate(inputs(picture, 0))
    later = [driver.estimate(inputs(np.full_like(picture, 90), number)) for number in range(1, 8)]
    assert not later[-1].seen
    assert later[-1].captured_ns == 7 * STEP_NS
    assert np.isfinite(seen.value).all()


def test_of_a_wide_picture_it_looks_at_head_and_shoulders(driver, picture):
    here = driver.estimate(inputs(wide(picture, 50), 0))
    with closing(DaganDriver(DarkestSpot())) as other:
        there = other.estimate(inputs(wide(picture, 250), 0))
    assert here.seen
    assert there.seen
    np.testing.assert_allclose(here.value, there.value, atol=0.05)


def test_a_performer_who_moves_aside_is_followed_without_a_jump_of_coordinates(driver, picture):
    for number in range(6):
        still = driver.estimate(inputs(wide(picture, 40), number))
    for number in range(6, 40):
        aside = min(40 + 8 * (number - 5), 240)  # a leap would be a cut to another shot
        moved = driver.estimate(inputs(wide(picture, aside), number))
    assert moved.seen
    side = driver._home_crop.side
    shift = (moved.value - still.value).mean(axis=1)[0]
    assert shift[0] == pytest.approx(2 * 200 / side, rel=0.15)
    assert abs(shift[1]) < 0.1
