import numpy as np
import pytest

from livehead.errors import SourceError
from livehead.perception.body_crop import (
    crop_face,
    crop_full_body,
    crop_upper_body,
    find_tallest,
    has_visible_feet,
)
from livehead.perception.pixel_square import PixelSquare

RULES = {"full": crop_full_body, "upper": crop_upper_body, "face": crop_face}


@pytest.mark.parametrize(
    ("person", "rule"),
    [*((str(i), rule) for i in range(3) for rule in RULES), ("_nolegs", "full")],
)
def test_the_published_rectangles(parity, person, rule):
    fixture = parity("pifuhd-crop")
    rect = RULES[rule](fixture[f"kp{person}"].numpy())
    assert [rect.left, rect.top, rect.side, rect.side] == fixture[f"{rule}{person}"].tolist()


@pytest.mark.parametrize("number", range(3))
def test_what_lies_outside_the_picture_is_black(parity, number):
    fixture = parity("pifuhd-crop")
    left, top, side, _ = fixture[f"rect{number}"].tolist()
    cut = PixelSquare(left, top, side).extract(fixture["image"].numpy())
    np.testing.assert_array_equal(cut, fixture[f"crop{number}"].numpy())


def test_a_square_wholly_outside_is_all_black():
    assert not PixelSquare(100, 100, 8).extract(np.full((20, 20, 3), 9, np.uint8)).any()


def person(height, left=0.0):
    points = np.ones((25, 3))
    points[:, 0] += left
    points[:, 1] = np.linspace(0, height, 25)
    return points


def test_the_tallest_person_is_taken():
    assert find_tallest([person(50), person(90), person(70)])[:, 1].max() == 90
    unsure = person(500) * (1, 1, 0.4)
    assert find_tallest([unsure, person(10)])[:, 1].max() == 10
    assert find_tallest([]) is None
    assert find_tallest([unsure]) is None


def test_who_shows_too_little_is_refused_in_words():
    nobody = np.zeros((25, 3))
    assert not has_visible_feet(nobody)
    for rule in RULES.values():
        with pytest.raises(SourceError, match="photo"):
            rule(nobody)
