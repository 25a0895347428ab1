"""Transparency for codecs that know none."""

import numpy as np

from livehead.codecs.alpha import flatten_alpha, pack_alpha_side_by_side


def a_picture() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.integers(0, 256, (6, 10, 4), np.uint8)


def test_the_matte_stands_on_the_right_of_colours_as_they_are() -> None:
    image = a_picture()
    both = pack_alpha_side_by_side(image)
    assert both.shape == (6, 20, 3)
    assert np.array_equal(both[:, :10], image[..., :3])
    assert np.array_equal(both[:, 10:], np.repeat(image[..., 3:], 3, axis=2))


def test_a_picture_without_alpha_is_all_solid() -> None:
    both = pack_alpha_side_by_side(a_picture()[..., :3])
    assert (both[:, 10:] == 255).all()


def test_flattened_lies_over_black() -> None:
    image = a_picture()
    flat = flatten_alpha(image)
    truth = image[..., :3].astype(float) * image[..., 3:] / 255
    assert np.abs(flat - truth).max() <= 0.51
    assert np.shares_memory(flatten_alpha(image[..., :3]), image), "without alpha nothing is copied"
