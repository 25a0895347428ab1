"""What is computed only where it is asked for equals what is computed everywhere."""

import cv2
import numpy as np
import pytest

from livehead.models.openpose.heatmaps import STRIDE, CubicPlanes, DensePlanes, resize_cubic


def drawn(seed, smoothness, planes=3, height=14, width=19):
    cells = np.random.default_rng(seed).normal(0, 1, (planes, height, width)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(cell, (0, 0), smoothness) for cell in cells])


def both(cells):
    height, width = cells.shape[1:]
    return CubicPlanes(cells), DensePlanes(resize_cubic(cells, (width * STRIDE, height * STRIDE)))


@pytest.mark.parametrize("smoothness", [0.4, 1.0, 2.5])
def test_every_pixel_is_opencv_s(smoothness):
    quick, plain = both(drawn(1, smoothness))
    plane, y, x = np.indices(plain.shape)
    np.testing.assert_allclose(quick.values_at(plane, y, x), plain.values_at(plane, y, x), atol=2e-6)


@pytest.mark.parametrize("smoothness", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("threshold", [-0.5, 0.05, 0.6])
def test_the_same_maxima_are_found(smoothness, threshold):
    quick, plain = (planes.find_maxima(threshold) for planes in both(drawn(2, smoothness)))
    for found, expected in ((quick.plane, plain.plane), (quick.y, plain.y), (quick.x, plain.x)):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(quick.value, plain.value, atol=2e-6)


def test_nothing_above_the_threshold_is_no_maximum():
    quick, plain = both(drawn(3, 1.0))
    assert len(quick.find_maxima(9.0).x) == len(plain.find_maxima(9.0).x) == 0


def at(values):
    maxima = DensePlanes(np.asarray(values, np.float32)[None]).find_maxima(0.05)
    return list(zip(maxima.y, maxima.x, strict=True))


def test_a_tie_is_no_peak_inside_but_one_on_the_ring():
    values = np.zeros((9, 9))
    values[4, 4] = values[4, 5] = 1
    assert at(values) == []
    values = np.zeros((9, 9))
    values[1, 4] = values[1, 5] = 1
    assert at(values) == [(1, 4), (1, 5)]


def test_the_outermost_pixels_are_no_peaks():
    values = np.zeros((9, 9))
    values[0, 4] = values[8, 4] = values[4, 0] = values[4, 8] = 1
    assert at(values) == []
