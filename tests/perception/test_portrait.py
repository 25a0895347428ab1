"""A portrait is cut from any photo that holds a face, and refused from any other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from livehead.errors import NoFaceError, SourceError
from livehead.frames import Image
from livehead.motion.face.head import face_height
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import MESH478, to_pixels
from livehead.perception.photo import read_photo
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import photo_digest, prepare_portrait, propose_crop

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return read_photo(ASSETS / "astronaut.png")


@pytest.fixture(scope="module")
def drawn() -> Image:
    return read_photo(ASSETS / "drawn.png")


def test_the_portrait_is_head_and_shoulders_with_the_mesh_on_the_face(drawn: Image) -> None:
    portrait = prepare_portrait(drawn, "drawn")
    points = portrait.motion.points3d()[0]
    assert portrait.motion.set == MESH478
    assert portrait.motion.value.shape == (1, 478, 2)
    assert 0.42 < face_height(points) / 2 < 0.62
    assert portrait.image.shape == (portrait.crop.side, portrait.crop.side, 3)
    irises = to_pixels(points[[468, 473], :2], *portrait.image.shape[1::-1])
    for x, y in np.rint(irises).astype(int):
        assert portrait.image[y, x].max() < 60, "the mesh's pupils lie on the drawn pupils"


def test_crop_and_image_show_the_same_place(astronaut: Image) -> None:
    portrait = prepare_portrait(astronaut, "astronaut")
    crop = portrait.crop
    window = astronaut[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    again = cv2.resize(portrait.image, (crop.side, crop.side), interpolation=cv2.INTER_AREA)
    assert np.abs(window.astype(int) - again.astype(int)).mean() < 4


def test_a_tiny_crop_is_enlarged_and_a_large_one_reduced(astronaut: Image, drawn: Image) -> None:
    assert prepare_portrait(astronaut, "small").image.shape[0] == 256
    large = cv2.resize(drawn, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    assert prepare_portrait(large, "large").image.shape[0] == 1024


def test_whole_takes_a_square_picture_as_it_is(drawn: Image) -> None:
    square = cv2.resize(drawn, (256, 256), interpolation=cv2.INTER_AREA)
    portrait = prepare_portrait(square, "square", crop="whole")
    assert portrait.crop == PixelSquare(0, 0, 256)
    assert np.array_equal(portrait.image, square)


def test_the_mesh_does_not_depend_on_the_crop(drawn: Image) -> None:
    whole, auto = prepare_portrait(drawn, "whole", crop="whole"), prepare_portrait(drawn, "auto")
    in_photo = [(p.motion.value[0] + 1) / 2 * p.crop.side + np.array([p.crop.left, p.crop.top]) for p in (whole, auto)]
    assert np.abs(in_photo[0] - in_photo[1]).max() < 0.5
    depths = [p.motion.points3d()[0, :, 2] * p.crop.side for p in (whole, auto)]
    assert np.abs(depths[0] - depths[1]).max() < 1


def test_the_larger_of_two_faces_is_taken_and_said(drawn: Image) -> None:
    scene = np.full((600, 1100, 3), 120, np.uint8)
    scene[50:550, 30:530] = cv2.resize(drawn, (500, 500), interpolation=cv2.INTER_AREA)
    scene[150:450, 700:1000] = cv2.resize(drawn, (300, 300), interpolation=cv2.INTER_AREA)
    portrait = prepare_portrait(scene, "pair")
    assert portrait.crop.left + portrait.crop.side / 2 == pytest.approx(280, abs=20)
    assert portrait.face_note == "There are 2 faces in the photo; number 1 from the left is used."


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_that_lies_is_turned_upright_and_it_is_said(drawn: Image, turns: int) -> None:
    small = cv2.resize(drawn, (480, 480), interpolation=cv2.INTER_AREA)[:, 20:460]
    portrait = prepare_portrait(np.rot90(small, turns), "lying")
    assert np.array_equal(portrait.photo, small)
    assert any("turned upright" in hint for hint in portrait.hints)


def test_a_face_at_the_edge_is_cut_inside_the_photo(drawn: Image) -> None:
    portrait = prepare_portrait(np.ascontiguousarray(drawn[150:900, 230:]), "edge")
    crop, (height, width) = portrait.crop, portrait.photo.shape[:2]
    assert crop.left >= 0
    assert crop.left + crop.side <= width
    assert crop.top >= 0
    assert crop.top + crop.side <= height


def test_a_very_tight_photo_is_extended_by_its_edge(drawn: Image) -> None:
    tight = np.ascontiguousarray(drawn[300:800, 330:694])
    portrait = prepare_portrait(tight, "tight")
    points = (portrait.motion.value[0] + 1) / 2
    assert points.min() > 0.02
    assert points.max() < 0.98
    assert portrait.crop.side > 364
    assert np.array_equal(portrait.image[:, 0], portrait.image[:, 1]), "what sticks out repeats the edge"


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 1000), (3000, 500), (330, 330)])
def test_a_proposed_crop_always_holds_the_face(width: int, height: int) -> None:
    circle = np.linspace(0, 2 * np.pi, 478)
    for x, y in ((0.2, 0.3), (0.5, 0.5), (0.9, 0.8)):
        points = np.stack([x * width + 80 * np.cos(circle), y * height + 100 * np.sin(circle), 0 * circle], axis=1)
        points[FACE_MESH.forehead, :2], points[FACE_MESH.chin, :2] = (
            (x * width, y * height - 100),
            (x * width, y * height + 100),
        )
        crop = propose_crop(points.astype(np.float32), width, height)
        if (
            points[:, 0].min() >= 0
            and points[:, 0].max() < width
            and 0 <= points[:, 1].min() < points[:, 1].max() < height
        ):
            assert crop.left <= points[:, 0].min()
            assert crop.left + crop.side >= points[:, 0].max()
            assert crop.top <= points[:, 1].min()
            assert crop.top + crop.side >= points[:, 1].max()


def test_a_photo_without_a_face_is_refused_with_a_remedy() -> None:
    noise = np.random.default_rng(2).integers(0, 255, (300, 400, 3), np.uint8)
    for picture in (noise, np.full((200, 200, 3), 128, np.uint8)):
        with pytest.raises(NoFaceError, match="No face was found in wall.jpg: use a photo"):
            prepare_portrait(picture, "wall.jpg")


def test_a_tiny_face_is_refused_with_its_size(drawn: Image) -> None:
    scene = np.full((300, 300, 3), 130, np.uint8)
    scene[100:160, 100:160] = cv2.resize(drawn, (60, 60), interpolation=cv2.INTER_AREA)
    with pytest.raises(SourceError) as error:
        prepare_portrait(scene, "far.jpg")
    assert "pixels high" in str(error.value) or isinstance(error.value, NoFaceError)


def test_the_digest_tells_photos_apart_by_their_pixels(drawn: Image) -> None:
    changed = drawn.copy()
    changed[0, 0, 0] ^= 1
    assert photo_digest(drawn) == photo_digest(drawn.copy())
    assert photo_digest(drawn) != photo_digest(changed)
    assert photo_digest(np.zeros((2, 8, 3), np.uint8)) != photo_digest(np.zeros((4, 4, 3), np.uint8))
    assert prepare_portrait(drawn, "drawn").digest == photo_digest(drawn)


def test_a_small_face_in_a_large_photo_is_found(drawn: Image) -> None:
    scene = np.full((1500, 2000, 3), 130, np.uint8)
    scene[900:1050, 1500:1650] = cv2.resize(drawn, (150, 150), interpolation=cv2.INTER_AREA)
    portrait = prepare_portrait(scene, "far.jpg")
    assert portrait.crop.left + portrait.crop.side / 2 == pytest.approx(1575, abs=15)
    assert any("pixels high" in hint for hint in portrait.hints)
