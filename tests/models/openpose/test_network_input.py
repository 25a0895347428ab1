"""How a picture becomes a network's input."""

import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.models.openpose.network_input import fit_image, input_to_image_scale, network_input_size, scaled_sizes


def test_sizes_are_the_published_ones(parity):
    for width, height, photo, net_width, net_height in parity("openpose-preprocess")["net_size_rule"].int().tolist():
        assert network_input_size(width, height, is_video=not photo) == (net_width, net_height)


@pytest.mark.parametrize("number", range(3))
def test_pictures_lie_in_the_input_as_published(parity, number):
    fixture = parity("openpose-preprocess")
    image = fixture[f"image{number}"].numpy()[..., ::-1]
    fitted = fit_image(image, tuple(fixture[f"net_size{number}"].tolist()))
    assert fitted.scale == pytest.approx(float(fixture[f"scale{number}"]))
    np.testing.assert_array_equal(fitted.pixels, fixture[f"net_input{number}"].numpy())


def test_the_way_back_is_the_published_one():
    assert input_to_image_scale(640, 480, min(319 / 639, 239 / 479)) == pytest.approx(2.009433962264151)


def test_a_height_that_is_no_multiple_of_16_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="368"):
        network_input_size(640, 480, 370)


def test_each_further_scale_is_a_quarter_smaller():
    assert scaled_sizes((656, 368), 4) == [(656, 368), (480, 272), (320, 176), (160, 80)]
    with pytest.raises(ConfigError, match="1 to 4"):
        scaled_sizes((656, 368), 5)


def test_a_sliver_of_a_picture_still_has_an_input():
    assert network_input_size(1, 900) == (16, 368)
    assert fit_image(np.zeros((1, 1, 3), np.uint8), (16, 368)).pixels.shape == (3, 368, 16)
