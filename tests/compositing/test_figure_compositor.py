import numpy as np
import pytest

from livehead.compositing.figure_compositor import FigureCompositor
from livehead.errors import ConfigError
from livehead.figure.mannequin import RELAXED_POSE, draw_mannequin
from livehead.perception.figure_framing import find_visible_box, resize_square, square_window


@pytest.fixture(scope="module")
def figure():
    """A frame with a figure in it, and its window."""
    picture = draw_mannequin(RELAXED_POSE, 256).image
    picture[picture[..., 3] == 0] = 0
    return picture, square_window(find_visible_box(picture[..., 3]))


def test_a_figure_that_was_cut_comes_back_to_its_place(figure):
    picture, window = figure
    stage = FigureCompositor(window, (256, 256), (256, 256), "#000000")
    canvas = stage.compose(resize_square(window.extract(picture), window.side))
    assert np.abs(canvas.astype(int) - picture[..., :3]).max() <= 1


def test_the_whole_frame_is_shown_in_the_middle_of_another_canvas(figure):
    picture, window = figure
    canvas = FigureCompositor(window, (256, 256), (640, 512), "#00ff00").compose(window.extract(picture))
    seen = (canvas != (0, 255, 0)).any(axis=2)
    rows, columns = np.nonzero(seen)
    top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
    expected = np.nonzero(picture[..., 3])
    assert abs(top - 2 * expected[0].min()) <= 2
    assert abs(bottom - 2 * expected[0].max()) <= 3
    assert abs((left + right) / 2 - 320) <= 4


def test_half_transparent_pixels_are_mixed_with_the_background():
    window = square_window((0, 0, 32, 32))
    half = np.full((32, 32, 4), (200, 100, 0, 128), np.uint8)
    canvas = FigureCompositor(window, (32, 32), (32, 32), "#0000ff").compose(half)
    assert np.abs(canvas[16, 16].astype(int) - (100, 50, 127)).max() <= 1


def test_nothing_stands_behind_a_figure_but_white(figure):
    _, window = figure
    canvas = FigureCompositor(window, (256, 256), (256, 256)).compose(np.zeros((64, 64, 4), np.uint8))
    assert (canvas == 255).all()


def test_an_image_is_a_background_and_a_blur_is_none(figure):
    _, window = figure
    image = np.full((64, 64, 3), 90, np.uint8)
    canvas = FigureCompositor(window, (256, 256), (256, 256), image, badge=True).compose(np.zeros((8, 8, 4), np.uint8))
    assert canvas[200, 200].tolist() == [90, 90, 90]
    assert (canvas != 90).any(), "the badge"
    with pytest.raises(ConfigError, match="no background to blur"):
        FigureCompositor(window, (256, 256), (256, 256), "blur")
