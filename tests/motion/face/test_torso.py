"""Where the torso's points are put."""

from __future__ import annotations

import numpy as np

from livehead.motion.face.head import face_height
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Keypoints


def test_the_points_lie_below_the_chin_with_the_persons_right_on_the_left_of_the_picture(source: Keypoints) -> None:
    neck, right, left = rest_torso_points(source.value[0])
    assert neck[1] > source.value[0, FACE_MESH.chin, 1]
    assert right[1] == left[1] > neck[1]
    assert right[0] < neck[0] < left[0]


def test_they_move_and_grow_with_the_face(source: Keypoints) -> None:
    near = source.points3d()[0] * 1.5 + np.array([0.1, -0.2, 0], np.float32)
    expected = rest_torso_points(source.value[0]) * 1.5 + np.array([0.1, -0.2], np.float32)
    np.testing.assert_allclose(rest_torso_points(near), expected, atol=1e-5)


def test_they_are_three_points_of_a_plane_however_small_the_face(source: Keypoints) -> None:
    neck, right, left = rest_torso_points(source.value[0] * 0.05) / face_height(source.value[0] * 0.05)
    assert abs(np.linalg.det(np.stack([right - neck, left - neck]))) > 0.5
