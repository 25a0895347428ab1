"""Lids and gaze carry over as ratios."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.motion.face.eyes import EyeDeformer, GazeOffset, estimate_gaze, eye_aperture, eye_opening
from livehead.motion.face.mesh import FACE_MESH, EyeIndices
from livehead.motion.keypoints import Keypoints

EYES = pytest.mark.parametrize("eye", [FACE_MESH.right_eye, FACE_MESH.left_eye], ids=["right", "left"])


@EYES
def test_at_opening_zero_the_lids_meet(source: Keypoints, eye: EyeIndices) -> None:
    points = source.points3d()[0]
    shape = EyeDeformer(points.copy(), eye)
    shape.set_lids_and_gaze(points, 0.0, shape.rest_gaze)
    np.testing.assert_allclose(points[eye.upper], points[eye.lower], atol=1e-6)


@EYES
def test_at_opening_one_with_the_gaze_of_the_photo_nothing_moves(source: Keypoints, eye: EyeIndices) -> None:
    points = source.points3d()[0]
    shape = EyeDeformer(points.copy(), eye)
    shape.set_lids_and_gaze(points, 1.0, shape.rest_gaze)
    np.testing.assert_allclose(points, source.points3d()[0], atol=1e-6)


@EYES
def test_the_iris_goes_where_it_is_told(source: Keypoints, eye: EyeIndices) -> None:
    points = source.points3d()[0]
    EyeDeformer(points.copy(), eye).set_lids_and_gaze(points, 1.0, GazeOffset(0.1, -0.05))
    reached = estimate_gaze(points, eye)
    assert (reached.right, reached.down) == pytest.approx((0.1, -0.05), abs=0.02)


@EYES
def test_a_glance_to_the_right_is_to_the_right_of_the_picture(source: Keypoints, eye: EyeIndices) -> None:
    points = source.points3d()[0]
    shape = EyeDeformer(points.copy(), eye)
    shape.set_lids_and_gaze(points, 1.0, GazeOffset(shape.rest_gaze.right + 0.1, shape.rest_gaze.down))
    assert points[eye.iris[0], 0] > source.value[0, eye.iris[0], 0]


def test_an_eye_that_the_tracker_calls_nearly_shut_is_shut() -> None:
    for neutral in (0.14, 0.2, 0.3):
        assert eye_opening(0.3 * neutral, neutral) == 0
        assert eye_opening(neutral, neutral) == 1
        assert 0 < eye_opening(0.6 * neutral, neutral) < 0.6


def test_lids_open_no_further_than_a_face_can() -> None:
    assert eye_opening(1.0, 0.2) < 1.5


def test_aperture_is_a_ratio(source: Keypoints) -> None:
    points = source.points3d()[0]
    assert eye_aperture(points * 3, FACE_MESH.left_eye) == pytest.approx(
        eye_aperture(points, FACE_MESH.left_eye), rel=1e-5
    )
    assert 0.1 < eye_aperture(points, FACE_MESH.left_eye) < 0.35
