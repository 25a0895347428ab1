"""The head's rigid motion between two meshes."""

import numpy as np
import pytest

from livehead.motion.face.head import HeadMotion, fit_head_motion
from livehead.motion.face.mesh import FACE_MESH


def turn(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Nose to the right, nose down, crown to the right; degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)


@pytest.fixture
def face() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (478, 3)).astype(np.float32)


@pytest.fixture
def motion() -> HeadMotion:
    return HeadMotion(1.3, turn(20, -10, 5), np.array([0.1, -0.2, 0.3], np.float32))


def test_a_known_motion_is_found(face, motion):
    found = fit_head_motion(face, motion.apply(face))
    assert found.scale == pytest.approx(motion.scale, rel=1e-5)
    np.testing.assert_allclose(found.rotation, motion.rotation, atol=1e-5)
    np.testing.assert_allclose(found.shift, motion.shift, atol=1e-5)


def test_jaw_lips_and_irises_do_not_matter(face, motion):
    speaking = motion.apply(face)
    speaking[np.concatenate([FACE_MESH.jaw, FACE_MESH.mouth.lips, FACE_MESH.left_eye.iris])] += 0.2
    np.testing.assert_allclose(fit_head_motion(face, speaking).rotation, motion.rotation, atol=1e-5)


def test_the_inverse_leads_back(face, motion):
    np.testing.assert_allclose(motion.inverse().apply(motion.apply(face)), face, atol=1e-5)


def test_a_mirrored_face_is_met_by_a_rotation_and_not_by_a_reflection(face):
    found = fit_head_motion(face, face * np.array([-1, 1, 1], np.float32))
    assert np.linalg.det(found.rotation) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("angles", [(30, 0, 0), (0, 20, 0), (0, 0, -40), (15, -10, 5)])
def test_angles_say_how_the_head_is_turned(face, angles):
    motion = HeadMotion(1.0, turn(*angles), np.zeros(3, np.float32))
    assert fit_head_motion(face, motion.apply(face)).euler_angles() == pytest.approx(angles, abs=1e-2)


def test_the_nose_of_a_head_turned_by_a_positive_yaw_goes_right():
    nose = np.array([0, 0, -1], np.float32)  # towards the camera
    assert HeadMotion(1.0, turn(yaw=20), np.zeros(3, np.float32)).apply(nose)[0] > 0


def test_the_nose_of_a_head_turned_by_a_positive_pitch_goes_down():
    nose = np.array([0, 0, -1], np.float32)
    assert HeadMotion(1.0, turn(pitch=20), np.zeros(3, np.float32)).apply(nose)[1] > 0
