"""The inside of the mouth: the own one as far as it reaches, then a cavity."""

import numpy as np

from livehead.motion.face.mesh import FACE_MESH
from livehead.renderers.warp.mouth import MouthInterior, analyse_mouth, draw_cavity, interior_triangles

SIDE = 200


def face(opening: float) -> np.ndarray:
    """Lips from corner to corner, 0.6 wide in [-1, 1]; ``opening`` is the gap in the middle."""
    points = np.zeros((478, 3), np.float32)
    along = np.linspace(-0.3, 0.3, 11)
    arc = 1 - (along / 0.3) ** 2
    for lip, side in ((FACE_MESH.mouth.upper, -0.5), (FACE_MESH.mouth.lower, 0.5)):
        points[lip, 0], points[lip, 1] = along, side * opening * arc
    return points


def smile(opening: float) -> np.ndarray:
    """Skin, dark between the lips, white teeth in the upper three quarters."""
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    gap = round(opening * SIDE / 4)
    image[100 - gap : 100 + gap, 70:130] = 30
    image[100 - gap : 100 + gap // 2, 70:130] = 230
    return image


def pixels(points: np.ndarray) -> np.ndarray:
    return ((points[:, :2] + 1) * SIDE - 1) / 2


def edges(mouth: MouthInterior, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside = mouth.interior_points(target, 1.0)
    return inside[:9], inside[9:]


def test_an_open_mouth_parts_only_beyond_its_stretch():
    mouth = analyse_mouth(smile(0.2), face(0.2))
    hanging, lying = edges(mouth, face(0.22))
    np.testing.assert_allclose(hanging, lying, atol=1e-5)
    hanging, lying = edges(mouth, face(0.6))
    assert np.all(lying[:, 1] > hanging[:, 1])


def test_teeth_hang_on_the_upper_lip():
    mouth = analyse_mouth(smile(0.2), face(0.2))
    assert mouth.split > 0.7
    assert mouth.toothless == 0


def test_a_closed_mouth_opens_over_a_dark_cavity_with_upper_teeth():
    closed = face(0.0)
    mouth = analyse_mouth(smile(0.0), closed)
    assert mouth.toothless == 1
    target = face(0.4)
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    draw_cavity(image, mouth, pixels(target), pixels(mouth.interior_points(target, 1.0)), SIDE / 2)
    column = image[:, 100].mean(axis=-1)
    top, bottom = np.rint(pixels(target)[[FACE_MESH.mouth.upper[5], FACE_MESH.mouth.lower[5]], 1]).astype(int)
    assert column[top + 3 : top + 8].max() > 120  # teeth
    assert column[(top + bottom) // 2] < 60
    assert np.all(column[: top - 2] == 150)
    assert np.all(column[bottom + 3 :] == 150)


def test_part_of_the_cavity_is_as_much_of_it():
    mouth, target = analyse_mouth(smile(0.0), face(0.0)), face(0.4)
    whole, half = (np.full((SIDE, SIDE, 3), 150, np.uint8) for _ in range(2))
    for image, most in ((whole, 1.0), (half, 0.5)):
        draw_cavity(image, mouth, pixels(target), pixels(mouth.interior_points(target, 1.0)), SIDE / 2, most)
    np.testing.assert_allclose(half, (150 + whole.astype(float)) / 2, atol=1)


def test_a_mouth_that_does_not_part_is_not_painted():
    mouth = analyse_mouth(smile(0.2), face(0.2))
    image = smile(0.2)
    draw_cavity(image, mouth, pixels(face(0.2)), pixels(mouth.interior_points(face(0.2), 1.0)), SIDE / 2)
    np.testing.assert_array_equal(image, smile(0.2))


def test_the_cavity_is_lit_as_the_photo_is():
    dark = analyse_mouth(smile(0.0) // 3, face(0.0))
    assert dark.light < analyse_mouth(smile(0.0), face(0.0)).light


def test_the_insides_triangles_fill_the_opening():
    target = face(0.4)
    mouth = analyse_mouth(smile(0.0), face(0.0))
    points = np.concatenate([target, mouth.interior_points(target, 1.0)])[:, :2]
    corners = points[interior_triangles(478)]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()
    x, y = points[FACE_MESH.mouth.inner].T
    loop = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    np.testing.assert_allclose(area, loop, rtol=1e-3)
