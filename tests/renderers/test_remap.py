"""Pictures sampled at given places: on the pixels nothing changes, between them lies what is between."""

import numpy as np

from livehead.renderers.remap import pixel_grid, resize_matte, sample_image, upsample_image


def test_sampling_every_pixel_at_its_own_place_gives_the_picture_back() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    np.testing.assert_array_equal(sample_image(picture, pixel_grid(9)), picture)


def test_an_upsampled_picture_has_the_pixels_of_the_small_one_at_every_second_place() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (9, 9, 3), np.uint8)
    larger = upsample_image(picture, 2)
    assert larger.shape == (17, 17, 3)
    np.testing.assert_array_equal(sample_image(larger, pixel_grid(9, 2)), picture)


def test_the_grid_starts_within_the_border_and_cannot_be_changed() -> None:
    grid = pixel_grid(4, 2, 3)
    assert grid[0, 0].tolist() == [6, 6]
    assert grid[1, 3].tolist() == [12, 8]
    assert not grid.flags.writeable


def test_a_matte_is_the_share_in_eight_bits() -> None:
    assert np.unique(resize_matte(np.full((4, 4), 0.5, np.float32), 8)).tolist() == [128]
    assert np.unique(resize_matte(np.full((4, 4), 1.5, np.float32), 8)).tolist() == [255]
