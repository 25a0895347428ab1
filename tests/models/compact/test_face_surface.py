import numpy as np
import pytest
import torch

from livehead.models.compact.face_surface import SOURCE_MAP_PLANES, SURFACE_PLANES, FaceSurface
from livehead.motion.face.mean_face import load_mean_face, load_mirror_indices
from livehead.motion.face.mesh import FACE_MESH


@pytest.fixture(scope="module")
def surface():
    return FaceSurface()


@pytest.fixture
def face():
    return torch.from_numpy(load_mean_face())[None] * 0.5


def cell(value, side):
    return int((float(value) + 1) / 2 * side)


def test_a_face_that_does_not_move_has_no_displacement(surface, face):
    drawn = surface(face, face, 64)
    assert drawn.planes.shape == (1, SURFACE_PLANES, 64, 64)
    assert not drawn.flow.any()


def test_a_shifted_face_points_back_to_where_it_was(surface, face):
    moved = face + torch.tensor([0.1, -0.05, 0.0])
    drawn = surface(moved, face, 64)
    seen = drawn.planes[0, 0] == 1
    assert 0.1 < seen.float().mean() < 0.4
    assert torch.allclose(drawn.flow[0][seen], torch.tensor([-0.1, 0.05]), atol=1e-4)


def test_the_nearer_side_of_a_turned_head_hides_the_other(surface, face):
    angle = np.deg2rad(60)
    turn = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).float()
    turned = face @ turn.T
    drawn = surface(turned, face, 64)
    covered = drawn.planes[0, 0] > 0.9
    assert (drawn.planes[0, 5][covered] > -0.2).float().mean() > 0.97  # what is seen faces the camera


def test_an_open_mouth_shows_its_inside(surface, face):
    opened = face.clone()
    opened[:, face[0, :, 1] > face[0, [13, 14], 1].mean(), 1] += 0.1
    middle = opened[0, [13, 14]].mean(dim=0)
    row, column = cell(middle[1], 64), cell(middle[0], 64)
    assert surface(opened, face, 64).planes[0, 7, row, column] > 0.9
    assert surface(face, face, 64).planes[0, 7].sum() < surface(opened, face, 64).planes[0, 7].sum() / 2


def test_a_nearly_closed_eye_hides_most_of_the_iris(surface, face):
    squinting = face.clone()
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        upper, lower = (torch.as_tensor(lid.copy()).long() for lid in (eye.upper, eye.lower))
        squinting[:, upper] = face[:, lower] + 0.1 * (face[:, upper] - face[:, lower])
    iris = SOURCE_MAP_PLANES - 3
    assert surface.source_map(face, 128)[0, iris].max() > 0.9
    assert surface.source_map(squinting, 128)[0, iris].sum() < 0.5 * surface.source_map(face, 128)[0, iris].sum()


def test_the_mean_face_is_its_own_mirror_image():
    mean, mirror = load_mean_face(), load_mirror_indices()
    assert np.array_equal(mirror[mirror], np.arange(478))
    assert np.abs(mean[mirror] * [-1, 1, 1] - mean).max() < 2e-3
