"""The torso is followed in the picture, whatever the head does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import livehead
from livehead.frames import Image
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Array, Keypoints, to_pixels, to_square
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.torso_tracker import TorsoTracker


@pytest.fixture(scope="module")
def picture() -> Image:
    portrait = cv2.imread(str(Path(livehead.__file__).parent / "assets" / "astronaut.png"))
    assert portrait is not None
    return np.ascontiguousarray(portrait[..., ::-1])


@pytest.fixture(scope="module")
def face(picture: Image) -> Keypoints:
    with FaceMeshTracker(static=True) as mesh:
        return mesh.detect(picture)[0]


def chin(face: Keypoints, picture: Image) -> int:
    return int(to_pixels(face.value[0], picture.shape[1], picture.shape[0])[FACE_MESH.chin, 1])


def leaning(picture: Image, face: Keypoints, matrix: Array) -> Image:
    """The picture with everything below the chin moved; the head stays."""
    moved = cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    moved[: chin(face, picture)] = picture[: chin(face, picture)]
    return moved


def carried(points: Array, matrix: Array, picture: Image) -> Array:
    height, width = picture.shape[:2]
    pixels = to_pixels(points, width, height)
    return to_square((pixels @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32), width, height)


def turned_about(face: Keypoints, picture: Image, degrees: float, zoom: float, shift: tuple[float, float]) -> Array:
    height, width = picture.shape[:2]
    neck = to_pixels(rest_torso_points(face.value[0])[0], width, height)
    matrix = cv2.getRotationMatrix2D((float(neck[0]), float(neck[1])), degrees, zoom)
    matrix[:, 2] += shift
    return np.asarray(matrix, np.float32)


@pytest.mark.parametrize(
    ("degrees", "zoom", "shift"), [(0, 1, (14, 0)), (0, 1, (-10, 9)), (4, 1, (6, 3)), (-2, 1.06, (0, -5))]
)
def test_it_finds_how_the_torso_moved(
    picture: Image, face: Keypoints, degrees: float, zoom: float, shift: tuple[float, float]
) -> None:
    tracker = TorsoTracker()
    tracker.track(picture, face)
    matrix = turned_about(face, picture, degrees, zoom, shift)
    found = tracker.track(leaning(picture, face, matrix), face)
    assert found is not None
    expected = carried(rest_torso_points(face.value[0]), matrix, picture)
    assert np.linalg.norm(found[0] - expected, axis=1).max() * picture.shape[0] / 2 < 2  # pixels; shoulders lie outside


def test_the_reference_itself_is_at_rest(picture: Image, face: Keypoints) -> None:
    tracker = TorsoTracker()
    first, second = tracker.track(picture, face), tracker.track(picture, face)
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first[0], rest_torso_points(face.value[0]), atol=1e-4)
    np.testing.assert_allclose(second, first, atol=1e-4)


def test_a_head_that_moves_alone_leaves_it_where_it_is(picture: Image, face: Keypoints) -> None:
    tracker = TorsoTracker()
    rest = tracker.track(picture, face)
    height = chin(face, picture)
    moved = picture.copy()
    moved[:height, 12:] = picture[:height, :-12]
    aside = face.with_points(face.value + np.array([24 / picture.shape[0], 0], np.float32))
    found = tracker.track(moved, aside)
    assert rest is not None
    assert found is not None
    assert np.abs(found - rest).max() * picture.shape[0] / 2 < 1.5


def test_other_light_is_no_motion(picture: Image, face: Keypoints) -> None:
    tracker = TorsoTracker()
    rest = tracker.track(picture, face)
    found = tracker.track(cv2.convertScaleAbs(picture, alpha=0.85, beta=-8).astype(np.uint8), face)
    assert rest is not None
    assert found is not None
    assert np.abs(found - rest).max() * picture.shape[0] / 2 < 1.5


def test_cloth_without_texture_stays_at_rest(picture: Image, face: Keypoints) -> None:
    plain = picture.copy()
    plain[chin(face, picture) :] = 90
    tracker = TorsoTracker()
    tracker.track(plain, face)
    found = tracker.track(plain, face.with_points(face.value + np.float32(0.05)))
    assert found is not None
    np.testing.assert_allclose(found[0], rest_torso_points(face.value[0]), atol=5e-3)


def test_where_the_picture_ends_at_the_chin_nothing_is_known(picture: Image, face: Keypoints) -> None:
    height = chin(face, picture) + 2
    cut = np.ascontiguousarray(picture[:height])
    pixels = to_pixels(face.value, picture.shape[1], picture.shape[0])
    assert TorsoTracker().track(cut, face.with_points(to_square(pixels, picture.shape[1], height))) is None


def test_it_starts_anew_when_told_to_and_with_pictures_of_another_size(picture: Image, face: Keypoints) -> None:
    rest = rest_torso_points(face.value[0])
    elsewhere = face.with_points(face.value + np.array([0.04, 0.02], np.float32))
    for start_anew in (lambda tracker: tracker.reset(), lambda tracker: None):
        tracker = TorsoTracker()
        tracker.track(np.ascontiguousarray(picture[:-2, :-2]), face)
        start_anew(tracker)
        found = tracker.track(picture, elsewhere)
        assert found is not None
        np.testing.assert_allclose(found[0], rest + np.array([0.04, 0.02]), atol=1e-4)


def test_a_camera_frame_of_any_size_gives_the_same_points(picture: Image, face: Keypoints) -> None:
    matrix = turned_about(face, picture, 0, 1, (10, 4))
    found = []
    for zoom in (0.5, 1, 2):
        tracker = TorsoTracker()
        for image in (picture, leaning(picture, face, matrix)):
            how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
            points = tracker.track(
                np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=how), np.uint8), face
            )
        found.append(points)
    assert found[0] is not None
    assert found[1] is not None
    assert found[2] is not None
    np.testing.assert_allclose(found[0], found[1], atol=0.012)
    np.testing.assert_allclose(found[2], found[1], atol=0.012)
