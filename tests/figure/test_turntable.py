import numpy as np

from livehead.figure.mesh import TriangleMesh
from livehead.figure.turntable import render_turntable, render_view_sheet
from livehead.models.pifuhd import octree
from livehead.models.pifuhd.marching_cubes import extract_surface


def nosed(points):
    """A ball with a nose towards the viewer and an arm to the right."""
    x, y, z = points.T
    nose = (np.hypot(x, y) < 0.1) & (z > 0) & (z < 0.7)
    arm = (np.hypot(y, z) < 0.1) & (x > 0) & (x < 0.9)
    return ((np.linalg.norm(points, axis=1) < 0.4) | nose | arm).astype(np.float32)


def coloured():
    mesh = extract_surface(octree.evaluate_octree(nosed, 64)).largest_component()
    nose = (mesh.vertices[:, 2] > 0.45)[:, None]
    return TriangleMesh(mesh.vertices, mesh.faces, np.where(nose, (255, 0, 0), (0, 0, 255)).astype(np.uint8))


def red_of(view):
    return (view[..., 0] > 150) & (view[..., 2] < 80)


def test_the_front_comes_first_and_the_back_is_half_way_round():
    views = list(render_turntable(coloured(), 4, 96))
    red = [int(red_of(view).sum()) for view in views]
    assert red[0] > 20
    assert red[2] == 0, "the nose is behind"
    blue = (views[0][..., 2] > 150) & (views[0][..., 0] < 80)
    columns, middle = np.flatnonzero(blue.any(axis=0)), np.flatnonzero(red_of(views[0]).any(axis=0)).mean()
    assert columns[-1] - middle > 2 * (middle - columns[0]), "the arm reaches to the right"


def test_the_figure_fills_the_picture_and_stays_inside():
    for view in render_turntable(coloured(), 8, 64):
        ground = (view == view[0, 0]).all(axis=-1)
        assert ground[[0, -1]].all()
        assert ground[:, [0, -1]].all()
        assert 0.05 < 1 - ground.mean() < 0.8


def test_a_sheet_shows_eight_sides_in_colours_and_in_normals():
    picture = render_view_sheet(coloured(), 48)
    assert picture.shape == (96, 384, 3)
    facing = picture[48 + 24, 24]
    assert facing[2] > 230, "the front's normal points at the viewer"
