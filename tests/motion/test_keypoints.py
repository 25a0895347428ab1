import numpy as np
import pytest

from livehead.motion.keypoints import MESH478, Keypoints, mesh_keypoints, to_pixels, to_square


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (256, 256)])
def test_pixels_and_the_square_s_coordinates_are_inverse(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).uniform(0, 480, (50, 2)).astype(np.float32)
    assert np.allclose(to_pixels(to_square(pixels, *size), *size), pixels, atol=1e-3)


def test_the_square_spans_the_longer_side_from_edge_to_edge() -> None:
    corners = np.array([[-0.5, -0.5], [639.5, 479.5]], np.float32)
    assert np.allclose(to_square(corners, 640, 480), [[-1, -0.75], [1, 0.75]])


def test_one_pixel_is_as_long_in_both_directions() -> None:
    steps = to_square(np.array([[10, 10], [11, 10], [10, 11]], np.float32), 640, 480)
    assert np.isclose(steps[1, 0] - steps[0, 0], steps[2, 1] - steps[0, 1])


def test_arrays_of_other_shapes_or_types_are_refused() -> None:
    value, confidence = np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)
    with pytest.raises(ValueError, match="depth"):
        Keypoints("five", value, np.zeros((1, 4), np.float32), None, confidence, 0)
    with pytest.raises(ValueError, match="float32"):
        Keypoints("five", value.astype(np.float64), None, None, confidence, 0)  # type: ignore[arg-type]


def test_a_mesh_keeps_its_points_and_whether_it_was_seen() -> None:
    points = np.random.default_rng(1).normal(0, 0.3, (478, 3)).astype(np.float32)
    mesh = mesh_keypoints(points, 0.0, 5)
    assert mesh.set == MESH478
    assert not mesh.seen
    assert np.array_equal(mesh.points3d()[0], points)
    assert mesh.with_points(mesh.value + 1).depth is mesh.depth
