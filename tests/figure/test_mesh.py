import numpy as np
import pytest
import trimesh

from livehead.errors import ConfigError, SourceError
from livehead.figure.mesh import TriangleMesh, check_mesh_path, read_mesh
from livehead.models.pifuhd import octree
from livehead.models.pifuhd.marching_cubes import extract_surface


def blobs(points):
    """A ball, a long thin rod beside it, and a hollow within the ball."""
    distance = np.linalg.norm(points, axis=1)
    rod = (np.hypot(points[:, 1] - 0.8, points[:, 2]) < 0.06) & (np.abs(points[:, 0]) < 0.95)
    return (((distance < 0.5) & (distance > 0.2)) | rod).astype(np.float32)


@pytest.fixture(scope="module")
def mesh():
    return extract_surface(octree.evaluate_octree(blobs, 64))


def test_clean_up_keeps_what_encloses_most_not_what_is_longest(mesh):
    assert mesh.label_components().max() == 2
    kept = mesh.largest_component()
    assert kept.vertices[:, 0].max() < 0.6, "the rod is gone"
    assert kept.volume() == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.05), "and so is the hollow"
    solid = trimesh.Trimesh(kept.vertices, kept.faces, process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.body_count == 1
    assert solid.volume == pytest.approx(kept.volume(), rel=1e-5)


def test_normals_point_outwards(mesh):
    ball = mesh.largest_component()
    outwards = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    cosine = (ball.vertex_normals() * outwards).sum(axis=1)
    assert cosine.min() > 0.5
    assert cosine.mean() > 0.95


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_a_saved_mesh_is_read_back_with_its_colours(mesh, tmp_path, suffix):
    ball = mesh.largest_component()
    colours = np.random.default_rng(0).integers(0, 255, ball.vertices.shape, np.uint8)
    path = tmp_path / f"ball{suffix}"
    TriangleMesh(ball.vertices, ball.faces, colours).save(path)
    read = trimesh.load(path, force="mesh", process=False)
    np.testing.assert_allclose(read.vertices, ball.vertices, atol=1e-6)
    np.testing.assert_array_equal(read.faces, ball.faces)
    assert read.is_watertight
    again = read_mesh(path)
    np.testing.assert_array_equal(again.vertices, read.vertices)
    np.testing.assert_array_equal(again.faces, ball.faces)
    np.testing.assert_array_equal(again.colours, colours)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".txt"])
def test_a_file_that_is_no_mesh_is_refused(tmp_path, suffix):
    path = tmp_path / f"person{suffix}"
    with pytest.raises(SourceError, match="person"):
        read_mesh(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match="person"):
        read_mesh(path)


def test_an_obj_has_a_colour_after_every_place(mesh, tmp_path):
    path = tmp_path / "ball.obj"
    TriangleMesh(mesh.vertices, mesh.faces, np.full(mesh.vertices.shape, 255, np.uint8)).save(path)
    lines = [line for line in path.read_text().splitlines() if line.startswith("v ")]
    assert len(lines) == len(mesh.vertices)
    assert len(lines[0].split()) == 7


def test_a_place_that_cannot_be_written_is_told_before(tmp_path):
    with pytest.raises(ConfigError, match=".glb, .obj, .ply"):
        check_mesh_path(tmp_path / "person.stl")
    with pytest.raises(ConfigError, match="nowhere"):
        check_mesh_path(tmp_path / "nowhere" / "person.glb")
    with pytest.raises(ConfigError, match="cannot write"):
        TriangleMesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)).save(_folder(tmp_path))


def _folder(tmp_path):
    (tmp_path / "taken.ply").mkdir()
    return tmp_path / "taken.ply"
