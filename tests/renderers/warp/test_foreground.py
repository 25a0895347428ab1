"""Person and background of a portrait, on a photo that comes with the package."""

from importlib.resources import files

import cv2
import numpy as np
import pytest

from livehead.perception.portrait import Portrait, prepare_portrait
from livehead.perception.segmentation import SelfieSegmenter
from livehead.renderers.warp.foreground import PortraitLayers, split_layers


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    data = np.frombuffer(files("livehead").joinpath("assets/astronaut.png").read_bytes(), np.uint8)
    return prepare_portrait(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), "astronaut")


@pytest.fixture(scope="module")
def layers(portrait) -> PortraitLayers:
    with SelfieSegmenter() as segmentation:
        return split_layers(portrait, segmentation)


def inner(layers: PortraitLayers, image: np.ndarray) -> np.ndarray:
    return image[layers.border : layers.border + layers.side, layers.border : layers.border + layers.side]


def test_the_layers_together_are_the_portrait(layers, portrait):
    np.testing.assert_array_equal(inner(layers, layers.image), portrait.image)
    seen = inner(layers, layers.matte) < 255
    np.testing.assert_array_equal(layers.background[seen], portrait.image[seen])


def test_behind_the_person_there_is_no_person(layers, portrait):
    wall = np.median(portrait.image[:20, :20].reshape(-1, 3), axis=0)
    middle = slice(layers.side // 3, layers.side // 2)
    assert np.abs(np.median(layers.background[middle, middle].reshape(-1, 3), axis=0) - wall).max() < 60
    assert np.abs(layers.background[middle, middle].astype(int) - portrait.image[middle, middle]).mean() > 20


def test_the_person_lies_within_the_matte(layers):
    assert layers.matte[layers.alpha > 128].min() == 255


def test_what_the_photo_has_beyond_the_crop_is_there_to_move_in(layers, portrait):
    assert layers.border > 0
    crop = portrait.crop
    scale = layers.side / crop.side
    assert crop.top + crop.side < portrait.photo.shape[0]  # there is more of the photo below
    row = layers.border + layers.side + 4
    beyond = portrait.photo[int(crop.top + crop.side + 4 / scale), crop.left : crop.left + crop.side].astype(int)
    strip = cv2.resize(beyond[None].astype(np.uint8), (layers.side, 1)).astype(int)
    moved_in = layers.image[row : row + 1, layers.border : layers.border + layers.side]
    assert np.abs(moved_in - strip).mean() < 15


@pytest.mark.parametrize("side", [100, 256, 512])
def test_layers_scale_to_any_side(layers, side):
    scaled = layers.resize(side)
    assert scaled.background.shape == (side, side, 3)
    assert scaled.side == side
    assert scaled.image.shape[:2] == scaled.matte.shape == scaled.alpha.shape
    small = cv2.resize(inner(layers, layers.image), (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    again = cv2.resize(inner(scaled, scaled.image), (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(small - again).mean() < 3
