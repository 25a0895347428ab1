"""Whether it is still the same person."""

import cv2
import numpy as np
import pytest

from livehead.evaluation.identity import identity_distance, measure_appearance, shape_distance
from livehead.evaluation.landmarks import find_mesh
from livehead.motion.face.head import HeadMotion, rotation_matrix
from livehead.motion.face.mesh import FACE_MESH


@pytest.fixture(scope="module")
def looks(finder):
    def of(picture):
        return measure_appearance(picture, find_mesh(finder, picture))

    return of


def test_the_same_picture_is_the_same_person(looks, astronaut):
    assert identity_distance(looks(astronaut()), looks(astronaut())) == pytest.approx(0, abs=1e-3)


def test_moving_tilting_and_scaling_the_head_changes_little(looks, astronaut):
    moved = astronaut(turn=15, shift=(20, -10), zoom=1.2)
    assert identity_distance(looks(moved), looks(astronaut())) < 0.3


def test_another_shape_of_head_or_colour_is_somebody_else(looks, astronaut):
    source = looks(astronaut())
    wide = cv2.resize(astronaut(), None, fx=1.35, fy=1.0)[:, 45:301]
    dark = (astronaut() * np.array([0.45, 0.4, 0.35])).astype(np.uint8)
    assert identity_distance(looks(wide), source) > 0.5
    assert identity_distance(looks(dark), source) > 0.5


def test_shape_ignores_place_size_and_attitude_and_the_mouth(looks, astronaut):
    mesh = looks(astronaut()).mesh
    moved = HeadMotion(2.5, rotation_matrix(20, -10, 30), np.array([0.3, -0.2, 0.1], np.float32)).apply(mesh)
    moved[FACE_MESH.mouth.lips] += 0.1
    assert shape_distance(moved, mesh) == pytest.approx(0, abs=1e-5)
    assert shape_distance(mesh * np.array([1.2, 1, 1], np.float32), mesh) > 0.03


def test_hair_outside_the_picture_is_left_out(looks, astronaut):
    cut = astronaut(shift=(0, -78))
    assert looks(cut).hair_lab is None
    assert identity_distance(looks(cut), looks(astronaut())) < 0.5
