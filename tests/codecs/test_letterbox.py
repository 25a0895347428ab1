from __future__ import annotations

import numpy as np
import pytest

from livehead.codecs.letterbox import letterbox


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (64, 64)])
def test_a_picture_of_another_shape_lies_in_the_middle_between_black_bars(size: tuple[int, int]) -> None:
    width, height = size
    picture = letterbox(np.full((30, 30, 3), 200, np.uint8), size)
    assert picture.shape == (height, width, 3)
    bright = picture[..., 0] > 100
    assert bright.sum() == min(size) ** 2
    np.testing.assert_array_equal(bright, bright[::-1, ::-1])


def test_a_picture_of_the_right_size_only_loses_its_alpha() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 4), np.uint8)
    np.testing.assert_array_equal(letterbox(image, (30, 20)), image[..., :3])
