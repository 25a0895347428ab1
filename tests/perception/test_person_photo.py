"""Photos of drawn figures; who stands where is told by injected points."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from livehead.errors import SourceError
from livehead.perception.person_photo import PIFUHD_SIDE, prepare_person_photo

# BODY_25 of an upright figure of height 1, the feet at 0: x to the picture's right, y down
FIGURE = np.array(
    [
        *((0, -0.9), (0, -0.8), (-0.12, -0.8), (-0.16, -0.62), (-0.18, -0.48), (0.12, -0.8), (0.16, -0.62)),
        *((0.18, -0.48), (0, -0.5), (-0.07, -0.5), (-0.08, -0.27), (-0.08, -0.04), (0.07, -0.5), (0.08, -0.27)),
        *((0.08, -0.04), (-0.02, -0.92), (0.02, -0.92), (-0.05, -0.9), (0.05, -0.9), (0.1, 0), (0.12, -0.01)),
        *((0.07, -0.01), (-0.1, 0), (-0.12, -0.01), (-0.07, -0.01)),
    ]
)


@dataclass
class Told:
    pose: np.ndarray


@dataclass
class Finder:
    people: list

    def find(self, image):
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        return self.people


def standing(x, y, height, without=()):
    """A person whose feet are at (x, y) in pixels."""
    points = np.concatenate([FIGURE * height + (x, y), np.full((25, 1), 0.9)], axis=1)
    points[list(without)] = 0
    return Told(points.astype(np.float32))


def drawn(*people, size=(600, 800), ground=(30, 90, 30), colour=(220, 150, 120)):
    """[H, W, 3], and the alpha of all the people in it."""
    alpha = np.zeros((size[1], size[0]), np.uint8)
    for told in people:
        place = told.pose[:, :2].round().astype(int)
        height = max(int(np.ptp(told.pose[:, 1])), 1)
        for a, b in ((0, 1), (1, 8), (2, 3), (3, 4), (5, 6), (6, 7), (9, 10), (10, 11), (12, 13), (13, 14), (2, 5)):
            cv2.line(alpha, place[a].tolist(), place[b].tolist(), 255, max(height // 9, 1))
        cv2.circle(alpha, place[0].tolist(), max(height // 11, 1), 255, -1)
        cv2.line(alpha, place[1].tolist(), place[8].tolist(), 255, max(height // 4, 1))
    image = np.where(alpha[..., None] > 0, np.uint8(colour), np.uint8(ground)).astype(np.uint8)
    return image, alpha


def cutout(*people, **drawing):
    image, alpha = drawn(*people, **drawing)
    return np.dstack([image, alpha])


def test_a_cutout_stands_on_grey_with_a_third_around():
    person = standing(300, 750, 600)
    found = prepare_person_photo(cutout(person), Finder([person]))
    assert found.image.shape == (PIFUHD_SIDE, PIFUHD_SIDE, 3)
    assert found.hints == ()
    np.testing.assert_array_equal(found.image[0, 0], 128)
    rows, columns = np.nonzero(found.mask > 0.5)
    assert abs(columns.mean() - PIFUHD_SIDE / 2) < 10
    assert 0.7 < np.ptp(rows) / PIFUHD_SIDE < 0.85
    np.testing.assert_array_equal(found.image[PIFUHD_SIDE // 2, PIFUHD_SIDE // 2], (220, 150, 120))


def test_colours_hidden_under_straight_alpha_do_not_shine_through():
    """Editors leave anything in transparent pixels; taken for premultiplied it would overflow."""
    person = standing(300, 750, 600)
    loud, quiet = (cutout(person, ground=ground) for ground in ((255, 255, 255), (0, 0, 0)))
    found = [prepare_person_photo(photo, Finder([person])) for photo in (loud, quiet)]
    np.testing.assert_array_equal(found[0].image, found[1].image)
    inside, outside = found[0].mask == 1, found[0].mask == 0
    for photo in found:
        assert (photo.image[outside] == 128).all()
        assert (photo.image[inside] == (220, 150, 120)).all()
    thin = loud.copy()
    thin[..., 3] = np.where(thin[..., 3] > 0, 153, 0)
    seen = prepare_person_photo(thin, Finder([person])).image[PIFUHD_SIDE // 2, PIFUHD_SIDE // 2]
    np.testing.assert_allclose(seen, 0.6 * np.array((220, 150, 120)) + 0.4 * 127.5, atol=1)


def test_of_two_people_the_taller_is_taken_and_told():
    tall, small = standing(180, 780, 700), standing(480, 780, 300)
    found = prepare_person_photo(cutout(tall, small), Finder([small, tall]))
    assert "2 people" in found.hints[0]
    columns = np.nonzero(found.mask > 0.5)[1]
    assert abs(np.median(columns) - PIFUHD_SIDE / 2) < 60


@pytest.mark.parametrize(("choice", "number"), [("largest", 1), ("left", 1), ("right", 2), (1, 1), (2, 2)])
def test_one_of_two_people_is_chosen(choice, number):
    people = [standing(180, 780, 700), standing(480, 780, 300)]
    found = prepare_person_photo(cutout(*people), Finder(people[::-1]), person_choice=choice)
    assert found.hints[0].startswith(f"There are 2 people in the photo: number {number} from the left is taken")
    foot = np.nonzero(found.mask[:, PIFUHD_SIDE // 2] > 0.5)[0]
    alone = prepare_person_photo(cutout(people[number - 1]), Finder([people[number - 1]]))
    assert np.ptp(foot) == np.ptp(np.nonzero(alone.mask[:, PIFUHD_SIDE // 2] > 0.5)[0])


def test_a_person_who_is_not_there_is_refused_with_how_many_there_are():
    with pytest.raises(SourceError, match="no person 3 in the photo: 2 people were found: choose one from 1 to 2"):
        prepare_person_photo(
            cutout(standing(180, 780, 700), standing(480, 780, 300)),
            Finder([standing(180, 780, 700), standing(480, 780, 300)]),
            person_choice=3,
        )


def test_a_neighbour_is_not_reconstructed(monkeypatch):
    tall, small = standing(250, 780, 700), standing(520, 780, 400)
    image, alpha = drawn(tall, small)

    class Told:
        """A segmentation that is right, as MediaPipe's is with photos, not with drawings."""

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def segment_person(self, square):
            return (np.abs(square.astype(int) - (220, 150, 120)).sum(axis=2) < 40).astype(np.float32)

    monkeypatch.setattr("livehead.perception.person_photo.SelfieSegmenter", Told)
    found = prepare_person_photo(image, Finder([tall, small]))
    alone = prepare_person_photo(drawn(tall)[0], Finder([tall]))
    assert (alpha > 0).any()
    np.testing.assert_array_equal(found.mask > 0.5, alone.mask > 0.5)
    kept = prepare_person_photo(image, Finder([tall, small]), keep_background=True)
    np.testing.assert_array_equal(kept.image[10, PIFUHD_SIDE // 2], (30, 90, 30))


def test_half_a_body_is_taken_with_a_hint():
    legs = (10, 11, 13, 14, 19, 20, 21, 22, 23, 24)
    person = standing(300, 1200, 1000, without=legs)
    found = prepare_person_photo(cutout(person), Finder([person]))
    assert any("feet" in hint for hint in found.hints)


def test_a_small_person_is_taken_with_a_hint_a_tiny_one_is_refused():
    person = standing(300, 500, 200)
    assert any("small" in hint for hint in prepare_person_photo(cutout(person), Finder([person])).hints)
    person = standing(300, 500, 60)
    with pytest.raises(SourceError, match="too small: 7. pixels"):
        prepare_person_photo(cutout(person), Finder([person]))


def test_nobody_is_an_error_in_one_line():
    photo = cutout(standing(300, 750, 600))
    with pytest.raises(SourceError, match="no person was found"):
        prepare_person_photo(photo, Finder([]))
    photo[..., 3] = 1
    with pytest.raises(SourceError, match="background"):
        prepare_person_photo(photo, Finder([standing(300, 750, 600)]))


@pytest.mark.parametrize("rule", ["upper", "face"])
def test_other_crops_show_less(rule):
    person = standing(300, 1500, 1400)
    photo = cutout(person, size=(600, 1600))
    full, less = (prepare_person_photo(photo, Finder([person]), crop) for crop in ("full", rule))
    assert (less.mask > 0.5).mean() > (full.mask > 0.5).mean()
