"""Pictures against the truth: our figures are those of scikit-image, and mean what they are named."""

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from livehead.evaluation.image_metrics import (
    PSNR_OF_IDENTICAL,
    bounding_box,
    box_l1,
    flicker,
    l1,
    psnr,
    sharpness,
    ssim,
)


@pytest.fixture(scope="module")
def truth():
    return cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def noisy(truth):
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8)


def blurred(picture):
    return cv2.GaussianBlur(picture, (0, 0), 2)


def test_ssim_is_that_of_scikit_image(truth, noisy):
    for output in (noisy, blurred(truth), np.roll(truth, 5, axis=1), np.zeros_like(truth), 255 - truth):
        expected = structural_similarity(
            output, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
        )
        assert ssim(output, truth) == pytest.approx(expected, abs=2e-5)


def test_psnr_is_that_of_scikit_image(truth, noisy):
    assert psnr(noisy, truth) == pytest.approx(peak_signal_noise_ratio(truth, noisy, data_range=255), abs=1e-6)


def test_an_equal_picture_has_a_finite_psnr(truth):
    assert psnr(truth, truth) == PSNR_OF_IDENTICAL
    assert ssim(truth, truth) == pytest.approx(1)
    assert l1(truth, truth) == 0


def test_l1_is_a_share_of_the_whole_range():
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    assert l1(black, white) == 1
    assert l1(black, np.full_like(black, 51)) == pytest.approx(0.2)


def test_sharpness_falls_with_blur_and_rises_with_noise(truth, noisy):
    face = (64, 32, 192, 160)
    assert sharpness(truth, truth, face) == pytest.approx(1)
    assert sharpness(blurred(truth), truth, face) < 0.5
    assert sharpness(noisy, truth, face) > 1.05


def test_sharpness_looks_only_inside_the_box(truth):
    output = blurred(truth)
    output[64:128, 64:128] = truth[64:128, 64:128]
    assert sharpness(output, truth, (64, 64, 128, 128)) == pytest.approx(1)


def test_box_l1_looks_only_inside_the_box(truth):
    output = truth.copy()
    output[10:20, 10:20] = 255 - output[10:20, 10:20]
    assert box_l1(output, truth, (20, 20, 60, 60)) == 0
    assert box_l1(output, truth, (10, 10, 20, 20)) > 0.1


def test_flicker_sees_what_shakes_and_not_what_moves_evenly():
    ramp = [np.full((16, 16, 3), 20 * i, np.uint8) for i in range(6)]
    shaking = [frame + np.uint8(8 * (i % 2)) for i, frame in enumerate(ramp)]
    bending = [np.full((16, 16, 3), 4 * i * i, np.uint8) for i in range(6)]
    assert flicker(ramp, bending) == 0
    assert flicker(bending, bending) == pytest.approx(1)
    assert flicker(shaking, bending) == pytest.approx(16 / 8)  # second differences: +-16 against 4 * 2


def test_flicker_needs_three_frames(truth):
    with pytest.raises(ValueError, match="three"):
        flicker([truth, truth], [truth, truth])


def test_a_box_is_enlarged_about_its_centre_and_stays_in_the_picture():
    points = np.array([[10, 20], [29, 39]], np.float32)
    assert bounding_box(points, 100, 100) == (10, 20, 30, 40)
    assert bounding_box(points, 100, 100, scale=2) == (0, 10, 40, 50)
    assert bounding_box(points, 30, 30, scale=2) == (0, 10, 30, 30)
    left, top, right, bottom = bounding_box(points + 500, 30, 30)
    assert left < right <= 30
    assert top < bottom <= 30
