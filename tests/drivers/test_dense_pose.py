from fractions import Fraction

import numpy as np
import pytest
import torch

from livehead.drivers.dense_pose import DensePoseImageDriver, DensePoseSequenceDriver
from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.frames import VideoFrame
from livehead.interfaces import DriverInputs
from livehead.models.engine import ExecutionConfig
from livehead.perception.dense_pose import open_dense_pose_sequence
from livehead.perception.dense_pose_detector import DensePoseDetector
from livehead.perception.figure_framing import find_visible_box, square_window


@pytest.fixture(scope="module")
def detector(tiny_conr):
    return DensePoseDetector(tiny_conr.parser, ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32"))


def at(image, ns=0):
    return DriverInputs(VideoFrame(image, 0, Fraction(1, 30), ns), None, ns)


def test_a_sequence_is_played_at_its_rate_and_over_again(tmp_path):
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", i=draw_mannequin(MannequinPose(left_arm=0.3 * number), 48).pose)
    sequence = open_dense_pose_sequence(tmp_path)
    driver = DensePoseSequenceDriver(sequence, 30)
    assert driver.motion_set == "udp"
    start = 5 * 10**9
    shown = [driver.estimate(DriverInputs(None, None, start + round(number * 1e9 / 30))).value for number in range(5)]
    for number, value in enumerate(shown):
        assert np.array_equal(value, sequence.read_pose(number % 3, 0).value)
    again = DensePoseSequenceDriver(sequence, 30)
    assert np.array_equal(again.estimate(DriverInputs(None, None, 10**12)).value, shown[0])


def test_pictures_with_alpha_are_read_through_the_window(detector):
    picture = draw_mannequin(RELAXED_POSE, 200).image
    window = square_window(find_visible_box(picture[..., 3]))
    driver = DensePoseImageDriver(detector, window)
    pose = driver.estimate(at(picture, 7))
    assert pose.captured_ns == 7
    hidden = picture.copy()
    hidden[picture[..., 3] == 0, :3] = 200
    assert np.array_equal(driver.estimate(at(hidden)).value, pose.value)
    assert not np.array_equal(DensePoseImageDriver(detector).estimate(at(picture)).value, pose.value)


def test_a_picture_that_is_no_square_is_not_stretched(detector):
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[:, 50:150] = draw_mannequin(RELAXED_POSE, 100).image[..., :3]
    square = np.zeros((200, 200, 3), np.uint8)
    square[50:150] = wide
    driver = DensePoseImageDriver(detector)
    assert np.array_equal(driver.estimate(at(wide)).value, driver.estimate(at(square)).value)


def test_without_a_picture_the_last_pose_stays(detector):
    driver = DensePoseImageDriver(detector)
    assert not driver.estimate(DriverInputs(None, None, 0)).seen
    pose = driver.estimate(at(draw_mannequin(RELAXED_POSE, 64).image))
    assert np.array_equal(driver.estimate(DriverInputs(None, None, 1)).value, pose.value)
