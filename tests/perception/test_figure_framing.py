import numpy as np
import pytest

from livehead.perception.figure_framing import (
    find_visible_box,
    premultiply_alpha,
    remove_specks,
    resize_coordinates,
    resize_square,
    square_window,
)
from livehead.perception.pixel_square import PixelSquare


def record(window, height, width):
    """A window as the published loader tells it: frame, crop, padding, square."""
    top, bottom = window.top, window.top + window.side
    left, right = window.left, window.left + window.side
    crop = [max(top, 0), min(bottom, height), max(left, 0), min(right, width)]
    pads = [max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)]
    return [height, width, *crop, *pads, window.side, window.side]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_pictures_are_framed_as_the_published_loader_frames_them(parity, number):
    fixture = {key: value.numpy() for key, value in parity("conr-crop").items()}
    picture = fixture[f"in{number}"]
    window = square_window(find_visible_box(picture[..., 3]))
    assert record(window, *picture.shape[:2]) == fixture[f"crop{number}"].tolist()
    assert np.array_equal(resize_square(window.extract(picture), 64), fixture[f"out{number}"])


def test_what_was_cut_goes_back_where_it_was():
    picture = np.zeros((40, 60, 4), np.uint8)
    picture[2:30, 50:60] = (200, 100, 50, 255)
    window = square_window(find_visible_box(picture[..., 3]))
    assert window == PixelSquare(41, 2, 28)
    assert np.array_equal(window.paste(window.extract(picture), 60, 40), picture)


def test_a_pixel_or_next_to_nothing_is_no_figure():
    alpha = np.zeros((100, 100), np.uint8)
    assert find_visible_box(alpha) is None
    alpha[50, 50] = 255
    assert find_visible_box(alpha) is None
    alpha[50, 50:70] = 255
    assert find_visible_box(alpha) == (50, 50, 70, 51)


def test_coordinates_are_never_mixed():
    square = np.zeros((64, 64, 4), np.float32)
    square[:, 32:] = 1
    assert set(np.unique(resize_coordinates(square, 100))) == {0, 1}
    assert set(np.unique(resize_coordinates(square, 33))) == {0, 1}


def test_colour_under_transparent_pixels_does_not_matter():
    first = np.full((8, 8, 4), 255, np.uint8)
    first[:4, :, 3] = 0
    second = first.copy()
    second[:4, :, :3] = 7
    assert np.array_equal(premultiply_alpha(first), premultiply_alpha(second))


def test_specks_and_haze_are_dropped_and_soft_edges_are_not():
    picture = np.zeros((200, 200, 4), np.uint8)
    picture[50:150, 80:120] = 255
    picture[49, 80:120] = (255, 255, 255, 2)
    figure, dropped = remove_specks(picture)
    assert dropped == 0
    assert np.array_equal(figure, picture)
    picture[3, 3] = 255
    picture[190:194, 10:190] = (255, 255, 255, 2)
    cleaned, dropped = remove_specks(picture)
    assert dropped == 2
    assert np.array_equal(cleaned, figure)


def test_an_empty_picture_has_no_specks():
    empty = np.zeros((20, 20, 4), np.uint8)
    assert remove_specks(empty)[1] == 0
