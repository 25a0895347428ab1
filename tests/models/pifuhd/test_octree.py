import numpy as np
import pytest
import trimesh

from livehead.models.pifuhd import octree
from livehead.models.pifuhd.marching_cubes import extract_surface


def counted(field):
    """The field, and how many points it was asked for."""
    asked = []

    def occupancy(points):
        asked.append(len(points))
        return field(points)

    return occupancy, asked


def test_the_octree_gives_the_dense_grid_s_surface_for_a_twentieth_of_the_points(body):
    field, asked = counted(body)
    sparse = octree.evaluate_octree(field, 128)
    dense = octree.evaluate_dense(body, 128)
    assert sum(asked) == sparse.evaluated < dense.evaluated
    found, expected = extract_surface(sparse), extract_surface(dense)
    np.testing.assert_array_equal(found.vertices, expected.vertices)
    np.testing.assert_array_equal(found.faces, expected.faces)


def test_at_256_at_most_an_eighth_of_the_points_are_asked_for(body):
    grid = octree.evaluate_octree(body, 256)
    assert grid.evaluated < 0.12 * 257**3
    assert extract_surface(grid).volume() == pytest.approx(0.854, abs=1e-3)


def test_a_surface_that_a_coarse_cell_missed_is_followed_into_it():
    """A thin arm that leaves a ball between the samples of the coarsest grid."""

    def field(points):
        x, y, z = points.T
        arm = (np.hypot(y - 0.047, z - 0.047) < 0.02) & (np.abs(x) < 0.8)
        return ((np.linalg.norm(points, axis=1) < 0.3) | arm).astype(np.float32)

    found, expected = octree.evaluate_octree(field, 128, first=16), octree.evaluate_dense(field, 128)
    np.testing.assert_array_equal(found.values > 0.5, expected.values > 0.5)
    published = octree.evaluate_octree(field, 128, first=16, published=True)
    flipped = expected.values[:-1, 128:0:-1, :-1]
    assert ((published.values > 0.5) != (flipped > 0.5)).sum() > 200, "the published one cuts the arm off"


def test_the_last_plane_counts():
    """A body that leaves the cube is cut there and closed; the published octree never looks at its last plane."""

    def field(points):
        return (points[:, 0] > 0.5).astype(np.float32) * (np.abs(points[:, 1:]) < 0.5).all(axis=1)

    grid = octree.evaluate_octree(field, 32, first=16)
    assert (grid.values[-1] > 0.5).any()
    mesh = extract_surface(grid)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert mesh.vertices[:, 0].max() == pytest.approx(1 + 1 / 32)
    assert not octree.evaluate_octree(field, 32, first=16, published=True).values[-1].any()


def test_progress_ends_where_it_was_expected_to(body):
    told = []
    grid = octree.evaluate_octree(body, 64, first=16, progress=lambda done, expected: told.append((done, expected)))
    done, expected = np.array(told).T
    assert (np.diff(done) > 0).all()
    assert (done <= expected).all()
    assert done[-1] == expected[-1] == grid.evaluated


def test_nothing_inside_is_no_surface():
    grid = octree.evaluate_octree(lambda points: np.zeros(len(points), np.float32), 32, first=16)
    assert extract_surface(grid) is None


def test_a_resolution_that_does_not_fit_is_a_mistake(body):
    with pytest.raises(ValueError, match="power of two"):
        octree.evaluate_octree(body, 96, first=64)
