"""Lips part and meet, and never cross."""

from __future__ import annotations

import numpy as np

from livehead.motion.face.lips import LipShape, gaps, mouth_width
from livehead.motion.face.mesh import MESH
from livehead.motion.keypoints import Keypoints


def test_a_smile_that_shows_teeth_can_be_closed(source: Keypoints) -> None:
    rest = source.points3d()[0]
    assert gaps(rest).max() > 0.01
    closed = LipShape(rest).closed
    np.testing.assert_allclose(closed[MESH.mouth.upper], closed[MESH.mouth.lower], atol=1e-6)


def test_lips_part_as_far_as_they_are_told(source: Keypoints) -> None:
    points = source.points3d()[0]
    wanted = np.linspace(0.01, 0.05, 9).astype(np.float32)
    LipShape(points.copy()).part(points, wanted)
    np.testing.assert_allclose(gaps(points), wanted, atol=1e-5)


def test_crossed_lips_are_put_right(source: Keypoints) -> None:
    rest = source.points3d()[0]
    shape = LipShape(rest)
    points = shape.closed.copy()
    points[MESH.mouth.upper[1:-1], 1] += 0.02
    shape.part(points, np.zeros(9, np.float32))
    np.testing.assert_allclose(points[MESH.mouth.upper], points[MESH.mouth.lower], atol=1e-6)


def test_closing_keeps_the_thickness_of_the_lips_and_the_eyes_where_they_are(source: Keypoints) -> None:
    rest = source.points3d()[0]
    closed = LipShape(rest).closed
    outer, inner = 17, 14  # middle of the lower lip
    np.testing.assert_allclose(closed[outer] - closed[inner], rest[outer] - rest[inner], atol=0.1 * mouth_width(rest))
    np.testing.assert_allclose(closed[MESH.left_eye.lids], rest[MESH.left_eye.lids], atol=1e-5)
