"""A face that is moved by a few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.motion.face.lips import lip_gaps
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.speech_basis import SpeechFace, speech_weights
from livehead.motion.keypoints import Array, Keypoints


@pytest.fixture(scope="module")
def basis() -> Array:
    """One direction that opens the mouth by 1 (the lower lip, the chin), one that draws its corners apart."""
    opens, widens = np.zeros((2, 478, 3), np.float32)
    opens[:, 1] = speech_weights() * (load_mean_face()[:, 1] > load_mean_face()[FACE_MESH.mouth.lower[5], 1] - 1e-4)
    opens[FACE_MESH.mouth.lower[1:-1], 1] = 1
    opens[FACE_MESH.mouth.upper, 1] = 0
    widens[FACE_MESH.mouth.lips, 0] = load_mean_face()[FACE_MESH.mouth.lips, 0]
    return np.stack([opens, widens])


def test_at_zero_the_lips_touch(source: Keypoints, basis: Array) -> None:
    assert lip_gaps(SpeechFace(source.points3d()[0], basis).deform(np.zeros(2, np.float32))).max() < 1e-5


def test_the_first_number_opens_the_mouth_in_proportion(source: Keypoints, basis: Array) -> None:
    face = SpeechFace(source.points3d()[0], basis)
    narrow, wide = (lip_gaps(face.deform(np.array([size, 0], np.float32))).mean() for size in (0.05, 0.1))
    assert narrow > 0.005
    np.testing.assert_allclose(wide, 2 * narrow, rtol=0.1)


def test_lips_that_are_told_to_cross_only_touch(source: Keypoints, basis: Array) -> None:
    assert lip_gaps(SpeechFace(source.points3d()[0], basis).deform(np.array([-0.2, 0], np.float32))).max() < 1e-5


def test_eyes_and_skull_stay_where_they_are(source: Keypoints, basis: Array) -> None:
    rest = source.points3d()[0]
    moved = SpeechFace(rest, basis).deform(np.array([0.1, 0.1], np.float32))
    still = [*FACE_MESH.right_eye.iris, *FACE_MESH.left_eye.opening, FACE_MESH.forehead]
    np.testing.assert_allclose(moved[still], rest[still], atol=1e-6)
