"""Hair, neck and shoulders about a face that is an oval."""

import numpy as np
import pytest

from livehead.motion.face.head import HeadMotion
from livehead.motion.face.mesh import FACE_MESH
from livehead.renderers.warp.foreground import PortraitLayers
from livehead.renderers.warp.hair_body_mesh import HairBodyMesh, build_hair_body_mesh

SIDE, AROUND, FIRST = 128, 32, 510
STILL = HeadMotion(1.0, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """An oval of a face, upright in the middle of the picture; only its outline, chin and forehead matter here."""
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points = np.zeros((478, 3), np.float32)
    points[FACE_MESH.oval, 0], points[FACE_MESH.oval, 1] = 0.4 * np.sin(angle), -0.5 * np.cos(angle)
    points[FACE_MESH.oval, 2] = 0.2
    return points


def layers(*, cut_off_at_top: bool) -> PortraitLayers:
    """A person of the width of the face, from the top or from above the face down to the bottom."""
    whole = SIDE + 2 * AROUND
    alpha = np.zeros((whole, whole), np.uint8)
    alpha[0 if cut_off_at_top else AROUND + 8 :, AROUND + 20 : -AROUND - 20] = 255
    picture = np.zeros((whole, whole, 3), np.uint8)
    return PortraitLayers(picture, picture[:SIDE, :SIDE], alpha, alpha, np.array([[-1, -1], [1, 1]], np.float32))


@pytest.fixture(scope="module")
def shell(face) -> HairBodyMesh:
    return build_hair_body_mesh(face, layers(cut_off_at_top=False), FIRST)


def shifted(x: float = 0, y: float = 0) -> HeadMotion:
    return HeadMotion(1.0, np.eye(3, dtype=np.float32), np.array([x, y, 0], np.float32))


def test_without_motion_nothing_moves(shell, face):
    np.testing.assert_allclose(shell.deform(STILL, face[FACE_MESH.oval]), shell.points, atol=1e-5)


def test_the_face_goes_over_into_the_shell_without_a_step(shell, face):
    """Next to an outline that bends, the shell bends with it; far off it does not."""
    outline = face[FACE_MESH.oval] + np.array([0, 0.1, 0], np.float32)
    shift = (shell.deform(STILL, outline) - shell.points)[:, 1]
    distance = np.linalg.norm(shell.points[:, None, :2] - face[FACE_MESH.oval][None, :, :2], axis=-1).min(axis=1)
    assert shift[distance < 0.01].min() > 0.08
    assert shift[distance > 0.6].max() < 0.005
    near = (distance > 0.04) & (distance < 0.08) & (shell.points[:, 1] > 0)
    assert shift[near].min() > 0.04


def test_hair_goes_with_the_head_and_shoulders_hardly(shell, face):
    motion = shifted(x=0.05)
    shift = (shell.deform(motion, motion.apply(face[FACE_MESH.oval])) - shell.points)[:, 0]
    hair = (np.abs(shell.points[:, 0]) < 0.2) & (shell.points[:, 1] < -0.55) & (shell.points[:, 1] > -0.7)
    shoulders = (np.abs(shell.points[:, 0]) < 0.6) & (shell.points[:, 1] > 0.9) & (shell.points[:, 1] < 1.1)
    assert shift[hair].min() > 0.03
    assert shift[shoulders].max() < 0.02


def test_the_body_comes_along_when_the_head_goes_far(shell, face):
    motion = shifted(x=0.6)
    shift = (shell.deform(motion, motion.apply(face[FACE_MESH.oval])) - shell.points)[:, 0]
    shoulders = (np.abs(shell.points[:, 0]) < 0.2) & (shell.points[:, 1] > 0.9) & (shell.points[:, 1] < 1.1)
    assert shift[shoulders].min() > 0.35


@pytest.mark.parametrize("cut_off", [True, False])
def test_hair_is_held_at_the_photos_end_only_where_it_is_cut_off(face, cut_off):
    shell = build_hair_body_mesh(face, layers(cut_off_at_top=cut_off), FIRST)
    motion = shifted(y=0.1)
    shift = (shell.deform(motion, motion.apply(face[FACE_MESH.oval])) - shell.points)[:, 1]
    top = (np.abs(shell.points[:, 0]) < 0.2) & (shell.points[:, 1] < -0.9) & (shell.points[:, 1] > -1.1)
    assert (shift[top].max() < 0.02) == cut_off


def test_triangles_lie_outside_the_face_and_on_the_person_alone(shell, face):
    points = np.zeros((FIRST + len(shell.points), 2), np.float32)
    points[:478], points[FIRST:] = face[:, :2], shell.points[:, :2]
    centres = points[shell.triangles].mean(axis=1)
    assert ((centres / [0.4, 0.5]) ** 2).sum(axis=1).min() > 0.97
    assert np.abs(centres[:, 0]).max() < 1
