"""Every face of a photo is found, counted from the left, and can be chosen; bad light and a panorama hide none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from livehead.errors import NoFaceError, SourceError
from livehead.frames import Image
from livehead.perception.photo import read_photo
from livehead.perception.portrait import Portrait, prepare_portrait

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return read_photo(ASSETS / "astronaut.png")


@pytest.fixture(scope="module")
def group() -> Image:
    """Three portraits in a row of 300, 500 and 380 pixels; their middles are at 180, 630 and 1100."""
    drawn = read_photo(ASSETS / "drawn.png")
    scene = np.full((600, 1320, 3), 120, np.uint8)
    for middle, side in ((180, 300), (630, 500), (1100, 380)):
        left = middle - side // 2
        scene[60 : 60 + side, left : left + side] = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return scene


def middle_x(portrait: Portrait) -> float:
    return portrait.crop.left + portrait.crop.side / 2


@pytest.mark.parametrize(
    ("choice", "place", "number"),
    [("largest", 630, 2), ("left", 180, 1), ("right", 1100, 3), (1, 180, 1), (2, 630, 2), (3, 1100, 3)],
)
def test_a_face_is_chosen_by_its_size_side_or_number(group: Image, choice: str | int, place: int, number: int) -> None:
    portrait = prepare_portrait(group, "group", face=choice)
    assert middle_x(portrait) == pytest.approx(place, abs=30)
    assert portrait.face_number == number
    assert f"There are 3 faces in the photo; number {number} from the left is used." == portrait.face_note


def test_the_boxes_lie_on_the_faces_from_left_to_right(group: Image) -> None:
    boxes = prepare_portrait(group, "group").face_boxes
    assert [left + width / 2 for left, _, width, _ in boxes] == pytest.approx([180, 630, 1100], abs=12)
    assert boxes[0][3] < boxes[2][3] < boxes[1][3]


def test_a_number_beyond_the_last_face_is_refused_with_how_many_there_are(group: Image, astronaut: Image) -> None:
    with pytest.raises(SourceError, match="no face 4 in group: there are 3 faces: choose one from 1 to 3"):
        prepare_portrait(group, "group", face=4)
    with pytest.raises(SourceError, match="no face 2 in alone: there is one face"):
        prepare_portrait(astronaut, "alone", face=2)


def test_a_photo_of_one_person_says_nothing_of_faces(astronaut: Image) -> None:
    portrait = prepare_portrait(astronaut, "alone", face="right")
    assert portrait.face_note == ""
    assert len(portrait.face_boxes) == 1


@pytest.mark.parametrize("size", [(4000, 512), (512, 3000), (512, 2000)])
def test_a_face_of_110_pixels_is_found_in_a_panorama(astronaut: Image, size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    noise = np.random.default_rng(0).integers(60, 200, (height // 40 + 1, width // 40 + 1, 3), np.uint8)
    scene = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    left, top = (3100, 0) if width > height else (0, height - 900)
    scene[top : top + 512, left : left + 512] = astronaut
    cv2.imwrite(str(tmp_path / "wide.png"), scene)
    photo = read_photo(tmp_path / "wide.png")
    assert photo.shape[:2] == (height, width), "a panorama keeps its pixels"
    portrait = prepare_portrait(photo, "wide.png")
    assert not [hint for hint in portrait.hints if "hard to make out" in hint]
    assert middle_x(portrait) == pytest.approx(left + 224, abs=15)


@pytest.mark.parametrize("light", [2.5, 3.5])
def test_an_overexposed_face_is_found_and_named_so(astronaut: Image, light: float) -> None:
    good = prepare_portrait(astronaut, "good")
    glaring = np.clip(astronaut * light, 0, 255).astype(np.uint8)
    portrait = prepare_portrait(glaring, "glaring")
    assert middle_x(portrait) == pytest.approx(middle_x(good), abs=8)
    assert np.array_equal(portrait.photo, glaring), "the photo itself is not changed"
    hints = " ".join(portrait.hints)
    assert "overexposed" in hints
    assert "shines before the eyes" not in hints


def test_a_photo_that_light_has_washed_out_is_told_from_one_without_a_face(astronaut: Image) -> None:
    with pytest.raises(
        NoFaceError, match="No face can be made out in sun.jpg: use a photo with less light on the face"
    ):
        prepare_portrait(np.clip(astronaut * 10.0, 0, 255).astype(np.uint8), "sun.jpg")
