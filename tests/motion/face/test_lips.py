"""Lips part and meet, and never cross."""

from __future__ import annotations

import numpy as np

from livehead.motion.face.lips import LipDeformer, lip_gaps, mouth_width
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Keypoints


def test_a_smile_that_shows_teeth_can_be_closed(source: Keypoints) -> None:
    rest = source.points3d()[0]
    assert lip_gaps(rest).max() > 0.01
    closed = LipDeformer(rest).closed
    np.testing.assert_allclose(closed[FACE_MESH.mouth.upper], closed[FACE_MESH.mouth.lower], atol=1e-6)


def test_lips_part_as_far_as_they_are_told(source: Keypoints) -> None:
    points = source.points3d()[0]
    wanted = np.linspace(0.01, 0.05, 9).astype(np.float32)
    LipDeformer(points.copy()).open_lips(points, wanted)
    np.testing.assert_allclose(lip_gaps(points), wanted, atol=1e-5)


def test_crossed_lips_are_put_right(source: Keypoints) -> None:
    rest = source.points3d()[0]
    shape = LipDeformer(rest)
    points = shape.closed.copy()
    points[FACE_MESH.mouth.upper[1:-1], 1] += 0.02
    shape.open_lips(points, np.zeros(9, np.float32))
    np.testing.assert_allclose(points[FACE_MESH.mouth.upper], points[FACE_MESH.mouth.lower], atol=1e-6)


def test_closing_keeps_the_thickness_of_the_lips_and_the_eyes_where_they_are(source: Keypoints) -> None:
    rest = source.points3d()[0]
    closed = LipDeformer(rest).closed
    outer, inner = 17, 14  # middle of the lower lip
    np.testing.assert_allclose(closed[outer] - closed[inner], rest[outer] - rest[inner], atol=0.1 * mouth_width(rest))
    np.testing.assert_allclose(closed[FACE_MESH.left_eye.lids], rest[FACE_MESH.left_eye.lids], atol=1e-5)
