"""Hints name what is wrong with a photo, and say nothing about a good one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from livehead.motion.face.head import HeadMotion, face_height, fit_head_motion, measure_head_angles, rotation_matrix
from livehead.motion.face.mesh import FACE_MESH
from livehead.perception.photo import read_photo
from livehead.perception.photo_hints import photo_hints
from livehead.perception.portrait import Portrait, prepare_portrait

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"


@pytest.fixture(scope="module")
def drawn() -> Portrait:
    return prepare_portrait(read_photo(ASSETS / "drawn.png"), "drawn")


def hints_on(portrait: Portrait, image: np.ndarray) -> str:
    return " ".join(photo_hints(image.astype(np.uint8), portrait.motion, portrait.crop.side))


def turned(portrait: Portrait, degrees: float, axis: int) -> np.ndarray:
    """The portrait's mesh [478, 3] turned about an axis of the picture: 0 across, 1 down, 2 into it."""
    points = portrait.motion.points3d()[0]
    centre = points.mean(axis=0)
    spin, _ = cv2.Rodrigues(np.eye(3)[axis] * np.radians(degrees))
    return (centre + (points - centre) @ spin.T).astype(np.float32)


def test_a_good_photo_gets_no_hint(drawn: Portrait) -> None:
    assert drawn.hints == ()


def test_the_head_angles_follow_the_turns_of_a_mesh(drawn: Portrait) -> None:
    yaw, pitch, roll = measure_head_angles(drawn.motion.points3d()[0])
    assert abs(yaw) < 3
    assert 4 < pitch < 16
    assert abs(roll) < 2
    assert measure_head_angles(turned(drawn, -25, 1))[0] == pytest.approx(yaw + 25, abs=3)
    assert measure_head_angles(turned(drawn, 20, 0))[1] == pytest.approx(pitch + 20, abs=3)
    assert measure_head_angles(turned(drawn, 15, 2))[2] == pytest.approx(roll + 15, abs=1)


def test_yaw_is_positive_when_the_nose_points_to_the_pictures_right(drawn: Portrait) -> None:
    points = turned(drawn, -25, 1)
    assert points[FACE_MESH.nose, 0] > points[FACE_MESH.rigid, 0].mean() + 0.05


@pytest.mark.parametrize(("angle", "index"), [(25, 0), (20, 1), (15, 2)])
def test_measured_and_fitted_angles_have_the_same_signs(drawn: Portrait, angle: float, index: int) -> None:
    points = drawn.motion.points3d()[0]
    angles = [0.0, 0.0, 0.0]
    angles[index] = angle
    moved = HeadMotion(1.0, rotation_matrix(*angles), np.zeros(3, np.float32)).apply(points)
    fitted = fit_head_motion(points, moved).euler_angles()[index]
    measured = measure_head_angles(moved)[index] - measure_head_angles(points)[index]
    assert (fitted, measured) == (pytest.approx(angle, abs=0.1), pytest.approx(angle, abs=3))


@pytest.mark.parametrize(
    ("axis", "degrees", "says"),
    [
        (1, 30, "turned to the side"),
        (1, -30, "turned to the side"),
        (2, 20, "tilted"),
        (0, -35, "chin is raised"),
        (0, 30, "chin is lowered"),
    ],
)
def test_a_posed_head_is_named(drawn: Portrait, axis: int, degrees: float, says: str) -> None:
    points = turned(drawn, degrees, axis)
    motion = drawn.motion.with_points(points[None, :, :2].copy(), points[None, :, 2].copy())
    assert says in " ".join(photo_hints(drawn.image, motion, drawn.crop.side))


def test_an_open_mouth_is_named(drawn: Portrait) -> None:
    value = drawn.motion.value.copy()
    value[0, FACE_MESH.mouth.lower[1:-1], 1] += 0.06
    found = photo_hints(drawn.image, drawn.motion.with_points(value), drawn.crop.side)
    assert found == ("The mouth is open; a photo with closed lips animates better.",)


def test_the_astronauts_smile_counts_as_open() -> None:
    astronaut = prepare_portrait(read_photo(ASSETS / "astronaut.png"), "astronaut")
    assert any("mouth is open" in hint for hint in astronaut.hints)
    assert any("pixels high" in hint for hint in astronaut.hints)


def test_a_closed_eye_is_named(drawn: Portrait) -> None:
    value = drawn.motion.value.copy()
    value[0, FACE_MESH.left_eye.upper[1:-1]] = value[0, FACE_MESH.left_eye.lower[1:-1]]
    motion = drawn.motion.with_points(value)
    assert "eye is nearly closed" in " ".join(photo_hints(drawn.image, motion, drawn.crop.side))


def test_a_blurred_photo_is_out_of_focus(drawn: Portrait) -> None:
    sigma = 0.02 * drawn.image.shape[0]
    assert "out of focus" in hints_on(drawn, cv2.GaussianBlur(drawn.image, (0, 0), sigma))


def test_a_dark_photo_is_poorly_lit_and_nothing_else(drawn: Portrait) -> None:
    found = hints_on(drawn, drawn.image * 0.35)
    assert "poorly lit" in found
    assert "out of focus" not in found


def test_reflections_before_the_eyes_are_named(drawn: Portrait) -> None:
    image = drawn.image.copy()
    side = image.shape[0]
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        x, y = (drawn.motion.value[0, eye.iris[0]] + 1) * side / 2
        cv2.ellipse(
            image, (int(x - 0.02 * side), int(y)), (int(0.02 * side), int(0.015 * side)), 30, 0, 360, (255,) * 3, -1
        )
    assert "shines before the eyes" in hints_on(drawn, image)


def test_a_small_face_is_named_with_its_height(drawn: Portrait) -> None:
    small = photo_hints(drawn.image, drawn.motion, 150)
    height = face_height(drawn.motion.points3d()[0]) / 2 * 150
    assert any(f"only {height:.0f} pixels high" in hint for hint in small)


@pytest.fixture(scope="module")
def enlarged_astronaut() -> np.ndarray:
    """The astronaut's head and shoulders, her face 260 pixels high."""
    picture = read_photo(ASSETS / "astronaut.png")[:260, 90:360]
    return cv2.resize(picture, None, fx=2.4, fy=2.4, interpolation=cv2.INTER_CUBIC)


def cover(picture: np.ndarray, outline: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture with something of one colour before it: ``outline`` [n, 2] in pixels, lit as cloth is."""
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.5)[:, :, None]
    grain = np.random.default_rng(0).normal(0, 3, picture.shape)
    shade = np.linspace(1.05, 0.8, picture.shape[0])[:, None, None]
    return np.clip(picture * (1 - soft) + (np.array(colour) * shade + grain) * soft, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [(165, 200, 225), (235, 236, 238), (32, 32, 36)])
def test_a_mask_is_named_and_the_mouth_painted_on_it_is_not(
    enlarged_astronaut: np.ndarray, colour: tuple[int, int, int]
) -> None:
    points = photo_points(enlarged_astronaut)
    jaw = points[FACE_MESH.jaw][2:-2]
    top = points[[352, 355, 197, 126, 123]] if jaw[0, 0] < jaw[-1, 0] else points[[123, 126, 197, 355, 352]]
    portrait = prepare_portrait(cover(enlarged_astronaut, np.concatenate([jaw, top]), colour), "masked")
    hints = " ".join(portrait.hints)
    assert "A mask or a hand hides the mouth" in hints
    assert "mouth is open" not in hints
    assert "Dark glasses" not in hints


def test_dark_glasses_are_named_and_the_eyes_behind_them_are_not(enlarged_astronaut: np.ndarray) -> None:
    points = photo_points(enlarged_astronaut)
    picture = enlarged_astronaut
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        around = points[eye.opening]
        lens = around.mean(axis=0) + 1.9 * (around - around.mean(axis=0)) * (0.95, 2.2)
        picture = cover(picture, cv2.convexHull(lens.astype(np.float32))[:, 0], (22, 22, 26))
    hints = " ".join(prepare_portrait(picture, "glasses").hints)
    assert "Dark glasses hide the eyes" in hints
    assert "eye is nearly closed" not in hints
    assert "hides the mouth" not in hints


def photo_points(picture: np.ndarray) -> np.ndarray:
    """The mesh of the one face [478, 2] in pixels of its photo."""
    portrait = prepare_portrait(picture, "open")
    assert not [hint for hint in portrait.hints if "hides" in hint or "Dark glasses" in hint]
    crop = portrait.crop
    return (portrait.motion.value[0] + 1) / 2 * crop.side + np.array([crop.left, crop.top]) - 0.5
