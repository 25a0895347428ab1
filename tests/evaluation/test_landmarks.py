"""Face meshes compared: how far the points are apart, and where mouth and face are."""

import numpy as np
import pytest

from livehead.evaluation.landmarks import MISSED_AKD, akd, face_box, find_mesh, mouth_box

SIDE = 256


def test_a_face_that_moved_is_as_far_away_as_it_moved(finder, astronaut):
    here, there = find_mesh(finder, astronaut()), find_mesh(finder, astronaut(shift=(12, 0)))
    assert akd(there, here, SIDE, SIDE) == pytest.approx(12, abs=0.8)
    assert akd(here, here, SIDE, SIDE) == 0


def test_no_face_in_the_output_costs_twenty_pixels(finder, astronaut):
    nothing = find_mesh(finder, np.full((SIDE, SIDE, 3), 127, np.uint8))
    assert nothing is None
    assert akd(nothing, find_mesh(finder, astronaut()), SIDE, SIDE) == MISSED_AKD


def test_the_mouth_lies_in_the_lower_half_of_the_face(finder, astronaut):
    mesh = find_mesh(finder, astronaut())
    left, top, right, bottom = face_box(mesh, SIDE, SIDE)
    mouth_left, mouth_top, mouth_right, mouth_bottom = mouth_box(mesh, SIDE, SIDE)
    assert left < mouth_left < mouth_right < right
    assert (top + bottom) / 2 < mouth_top < mouth_bottom < bottom
