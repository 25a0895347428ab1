"""The face in the camera becomes motion; a lost face is told, and its last motion kept."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest

from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait
from livehead.drivers.face import FaceDriver
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMeshTracker
from tests.fixtures.occlusions import paint_mask

FRAME_NS = 33_333_333


@pytest.fixture
def driver() -> Iterator[FaceDriver]:
    driver = FaceDriver()
    yield driver
    driver.close()


def inputs(image: Image, index: int) -> DriverInputs:
    return DriverInputs(VideoFrame(image, index, Fraction(1, 30), index * FRAME_NS), None, index * FRAME_NS)


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
    assert not driver.estimate(DriverInputs(None, None, 7)).seen


def test_a_picture_with_alpha_is_taken(driver: FaceDriver, picture: Image) -> None:
    rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    assert driver.estimate(inputs(rgba, 0)).seen


def test_the_torso_is_told_with_the_face_and_kept_while_the_face_is_lost(driver: FaceDriver, picture: Image) -> None:
    seen = driver.estimate(inputs(picture, 0))
    assert seen.torso is not None
    np.testing.assert_allclose(seen.torso[0], rest_torso_points(seen.value[0]), atol=1e-4)
    lost = driver.estimate(inputs(np.zeros_like(picture), 1))
    assert lost.torso is not None
    np.testing.assert_array_equal(lost.torso, seen.torso)


@pytest.mark.parametrize(("away", "anew"), [(10, False), (90, True)])
def test_who_comes_back_after_a_while_is_looked_at_anew(
    driver: FaceDriver, picture: Image, away: int, anew: bool
) -> None:
    """The head comes back at another place while the torso of the picture has not moved."""
    seen = driver.estimate(inputs(picture, 0))
    assert seen.torso is not None
    driver.estimate(inputs(np.zeros_like(picture), 1))
    chin = round((float(seen.value[0, FACE_MESH.chin, 1]) + 1) * picture.shape[0] / 2)
    aside = picture.copy()
    aside[:chin, 30:] = picture[:chin, :-30]
    for index in range(away, away + 5):  # the tracker may take a moment to find the face again
        back = driver.estimate(inputs(aside, index))
        if back.seen:
            break
    assert back.torso is not None
    expected = rest_torso_points(back.value[0]) if anew else seen.torso[0]
    np.testing.assert_allclose(back.torso[0], expected, atol=0.02)
    assert abs(rest_torso_points(back.value[0])[0, 0] - seen.torso[0, 0, 0]) > 0.08


def test_a_mask_is_told_within_half_a_second_eased_in_and_out(
    driver: FaceDriver, picture: Image, source: Keypoints
) -> None:
    masked = paint_mask(picture, source)
    told = []
    for index in range(90):
        motion = driver.estimate(inputs(masked if 30 <= index < 60 else picture, index))
        assert motion.sighting is not None
        assert motion.sighting.eyes_hidden == 0
        told.append(motion.sighting.lips_hidden if motion.seen else told[-1])
    assert max(told[:30]) == 0
    assert min(told[48:60]) == 1
    assert max(told[80:]) == 0
    steps = np.abs(np.diff(told))
    assert 0 < steps.max() < 0.25


def test_somebody_else_who_stays_is_another_performer_and_nothing_of_the_first_is_kept(driver: FaceDriver) -> None:
    one, two = (bundled_portrait(photo).image for photo in (ASTRONAUT_PHOTO, DRAWN_PORTRAIT))
    two = np.asarray(cv2.resize(two, one.shape[1::-1]), np.uint8)
    first = [driver.estimate(inputs(one, index)) for index in range(5)][-1]
    second = driver.estimate(inputs(two, 5))
    assert first.performer == 1
    assert second.performer == 2
    assert second.torso is not None
    np.testing.assert_allclose(second.torso[0], rest_torso_points(second.value[0]), atol=1e-4)
    with FaceMeshTracker() as alone:
        (expected,) = alone.detect(two)
    np.testing.assert_allclose(second.value, expected.value, atol=0.02)
