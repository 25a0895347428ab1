import numpy as np
import pytest
import torch

from livehead.perception.rgbd import DAGAN_SIDE, to_keypoints, to_learned_points


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 255, (2, 300, 300, 3), np.uint8)


def test_one_call_gives_depth_and_points_of_every_picture(tiny_dagan, pictures):
    _, detector = tiny_dagan
    detection = detector.detect_batch(list(pictures))
    assert detection.pictures.shape == (2, 3, DAGAN_SIDE, DAGAN_SIDE)
    assert detection.disparity.shape == (2, 1, DAGAN_SIDE, DAGAN_SIDE)
    assert 0 < detection.disparity.min() < detection.disparity.max() < 1
    assert detection.points.value.shape == (2, 15, 2)
    together = to_keypoints(detection.points, "dagan15", 7)
    alone = detector.detect(pictures[1], 7)
    np.testing.assert_allclose(alone.value, together[1].value, atol=1e-4)
    assert alone.set == detector.motion_set == "dagan15"
    assert (alone.captured_ns, alone.seen) == (7, True)


def test_points_survive_the_way_to_motion_and_back(tiny_dagan, pictures):
    _, detector = tiny_dagan
    points = detector.detect_batch(list(pictures)).points
    back = to_learned_points(to_keypoints(points, "dagan15", 0), torch.device("cpu"))
    assert torch.equal(back.value, points.value)
    assert torch.equal(back.jacobian, points.jacobian)
