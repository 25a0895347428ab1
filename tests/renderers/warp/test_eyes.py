"""Eyes: lids that shut, lashes that keep their shape, eyeballs that are whole."""

from collections import Counter

import cv2
import numpy as np
import pytest

from livehead.motion.face.mesh import FACE_MESH, EyeIndices
from livehead.renderers.warp.eyes import (
    close_lids,
    complete_eyeball,
    draw_eye,
    lash_points,
    lash_triangles,
    skin_triangles,
)

EYES = (FACE_MESH.right_eye, FACE_MESH.left_eye)


def face(opening: float = 0.3) -> np.ndarray:
    """Two almond eyes, 100 pixels wide, about (100, 100) and (300, 100), as [478, 3] in pixels."""
    points = np.zeros((478, 3), np.float32)
    for eye, centre, outer in ((FACE_MESH.right_eye, 100, -1), (FACE_MESH.left_eye, 300, 1)):
        along = np.linspace(outer, -outer, 9) * 50
        arc = (1 - (along / 50) ** 2) * opening * 50
        for lid, side in ((eye.upper, -1), (eye.lower, 1)):
            points[lid, 0], points[lid, 1] = centre + along, 100 + side * arc
        points[eye.iris, :2] = [centre, 100] + 18 * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]])
    return points


def picture(points: np.ndarray) -> np.ndarray:
    """Skin, whites, brown irises and black pupils."""
    image = np.full((200, 400, 3), (200, 150, 130), np.uint8)
    for eye in EYES:
        opening = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(opening, [np.rint(points[eye.opening, :2]).astype(np.int32)], (1,))
        ball = np.full_like(image, 230)
        centre = tuple(int(round(float(v))) for v in points[eye.iris[0], :2])
        cv2.circle(ball, centre, 18, (90, 60, 40), -1)
        cv2.circle(ball, centre, 6, (10, 10, 10), -1)
        image[opening > 0] = ball[opening > 0]
    return image


@pytest.mark.parametrize("eye", EYES)
def test_a_slit_is_shut_and_an_open_eye_left_alone(eye: EyeIndices):
    source = face()
    slit, opened = face(0.05), face(0.25)
    close_lids(source, slit, eye)
    close_lids(source, opened, eye)
    np.testing.assert_allclose(slit[eye.upper], slit[eye.lower], atol=1e-4)
    np.testing.assert_array_equal(opened, face(0.25))


def test_narrow_eyes_are_not_taken_for_shut_ones():
    narrow = face(0.08)
    target = narrow.copy()
    close_lids(narrow, target, FACE_MESH.right_eye)
    np.testing.assert_array_equal(target, narrow)


def test_lashes_keep_their_length_when_the_lid_comes_down():
    rings = {"right": [247, 30, 29, 27, 28, 56, 190], "left": [467, 260, 259, 257, 258, 286, 414]}
    source, target = face(0.3), face(0.02)
    for points in (source, target):
        for eye, ring in zip(EYES, rings.values(), strict=True):
            points[ring] = source[eye.upper[1:-1]] - np.array([0, 10, 0], np.float32)
    edge = np.concatenate([eye.upper[1:-1] for eye in EYES])
    before = np.linalg.norm(lash_points(source, source, 1.0) - source[edge], axis=1)
    after = np.linalg.norm(lash_points(source, target, 1.0) - target[edge], axis=1)
    np.testing.assert_allclose(after, before, rtol=1e-4)


def test_lash_triangles_replace_exactly_what_the_skin_lost():
    triangles = np.concatenate([skin_triangles(), lash_triangles(500)])
    edges = Counter((int(t[i]), int(t[(i + 1) % 3])) for t in triangles for i in range(3))
    assert max(edges.values()) == 1
    rim = {frozenset(edge) for edge in edges if edge[::-1] not in edges}
    whole = Counter((int(t[i]), int(t[(i + 1) % 3])) for t in FACE_MESH.triangles for i in range(3))
    assert rim == {frozenset(edge) for edge in whole if edge[::-1] not in whole}


def test_the_white_is_white_where_the_iris_was_and_the_iris_is_whole_under_the_lids():
    points = face(0.2)  # lids over the iris above and below
    eyeball = complete_eyeball(picture(points), points[:, :2], FACE_MESH.right_eye)
    x, y = np.rint(eyeball.centre).astype(int)
    assert eyeball.white[y, x].min() > 200
    assert np.abs(eyeball.iris[y - 12, x].astype(int) - [90, 60, 40]).max() < 25
    assert eyeball.iris[y, x].max() < 40


@pytest.mark.parametrize("shift", [-15, 15])
def test_the_pupil_is_drawn_where_it_looks(shift):
    points = face()
    image = picture(points)
    eyeball = complete_eyeball(image, points[:, :2], FACE_MESH.right_eye)
    points[FACE_MESH.right_eye.iris, 0] += shift
    draw_eye(image, eyeball, points[:, :2], FACE_MESH.right_eye)
    assert image[100, 100 + shift].max() < 40
    assert image[100, 100 - 2 * shift].min() > 150


def test_an_eye_that_has_not_moved_stays_as_photographed():
    points = face()
    image = picture(points)
    drawn = image.copy()
    draw_eye(drawn, complete_eyeball(image, points[:, :2], FACE_MESH.left_eye), points[:, :2], FACE_MESH.left_eye)
    np.testing.assert_array_equal(drawn, image)


def test_a_shut_eye_in_the_photo_gets_a_dark_iris_when_it_opens():
    shut = face(0.01)
    image = np.full((200, 400, 3), (200, 150, 130), np.uint8)
    eyeball = complete_eyeball(image, shut[:, :2], FACE_MESH.right_eye)
    draw_eye(image, eyeball, face(0.3)[:, :2], FACE_MESH.right_eye)
    assert image[100, 100].max() < 70
    assert image[100, 70].min() > 120
