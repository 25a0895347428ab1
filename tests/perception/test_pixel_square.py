"""Squares of pixels that reach out of their picture, or lie beside it."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.perception.pixel_square import PixelSquare

PICTURE = np.arange(1, 25, dtype=np.uint8).reshape(4, 6, 1)


def test_what_lies_outside_is_empty() -> None:
    content = PixelSquare(4, -1, 3).extract(PICTURE)
    assert content[..., 0].tolist() == [[0, 0, 0], [5, 6, 0], [11, 12, 0]]


def test_what_lies_outside_repeats_the_edge() -> None:
    content = PixelSquare(4, -1, 3).extract_repeating_edge(PICTURE)
    assert content[..., 0].tolist() == [[5, 6, 6], [5, 6, 6], [11, 12, 12]]


@pytest.mark.parametrize(("left", "top"), [(-9, 0), (0, -9), (9, 0), (0, 9)])
def test_a_square_beside_the_picture_shares_nothing_with_it(left: int, top: int) -> None:
    square = PixelSquare(left, top, 3)
    assert not square.extract(PICTURE).any()
    assert not square.paste(np.ones((3, 3, 1), np.uint8), 6, 4).any()


@pytest.mark.parametrize("square", [PixelSquare(-1, 2, 4), PixelSquare(1, 1, 2), PixelSquare(-2, -2, 12)])
def test_what_was_cut_out_is_put_back_where_it_was(square: PixelSquare) -> None:
    picture = np.repeat(PICTURE, 3, axis=2)
    inside = square.paste(np.ones((square.side, square.side, 3), np.uint8), 6, 4)
    np.testing.assert_array_equal(square.paste(square.extract(picture), 6, 4), picture * inside)


def test_numbers_of_any_kind_are_cut() -> None:
    content = PixelSquare(5, 3, 2).extract(PICTURE[..., 0].astype(np.float32))
    assert content.dtype == np.float32
    assert content.tolist() == [[24, 0], [0, 0]]
