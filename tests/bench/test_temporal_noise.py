import numpy as np
import pytest

from livehead.bench.temporal_noise import CAMERA_NOISE_STD, add_camera_noise, temporal_noise


@pytest.fixture
def scene():
    return np.full((40, 60, 3), 120, np.uint8)


def test_noise_is_a_cameras_and_differs_from_frame_to_frame(scene):
    first, second = add_camera_noise(scene, 2)
    assert first.astype(float).std() == pytest.approx(CAMERA_NOISE_STD, rel=0.05)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.1


def test_an_avatar_that_copies_the_noise_has_a_ratio_of_one(scene):
    seen = add_camera_noise(scene, 6)
    figures = temporal_noise(seen, seen)
    assert figures["ratio"] == 1.0
    assert figures["driver"] == pytest.approx(2 / np.sqrt(np.pi) * CAMERA_NOISE_STD / 255, rel=0.05)


def test_an_avatar_that_stands_still_has_none_and_one_that_trembles_more(scene):
    seen = add_camera_noise(scene, 6)
    assert temporal_noise(seen, [scene] * 6)["ratio"] == 0.0
    trembling = [np.roll(add_camera_noise(scene, 1)[0], number, axis=1) * np.uint8(2) for number in range(6)]
    assert temporal_noise(seen, trembling)["ratio"] > 1.5
