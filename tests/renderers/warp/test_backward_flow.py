"""Backward flow from triangles: the nearest wins, backs are not drawn, what nothing covers is known."""

import numpy as np
import pytest

from livehead.renderers.remap import sample_image
from livehead.renderers.warp.backward_flow import compute_backward_flow

SIDE = 128
PLANE = np.array([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)  # clockwise on the screen


def with_depth(points: np.ndarray, depth: float) -> np.ndarray:
    return np.column_stack([points, np.full(len(points), depth)]).astype(np.float32)


def pixels(points: np.ndarray) -> np.ndarray:
    return np.rint(((points + 1) * SIDE - 1) / 2).astype(int)


def test_what_does_not_move_comes_from_its_own_place():
    places = compute_backward_flow(PLANE, with_depth(PLANE, 0), HALVES, 0, SIDE).sampling_grid()
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    np.testing.assert_allclose(places, np.stack([x, y], axis=-1), atol=1e-3)


@pytest.mark.parametrize("side", [96, 128, 300, 512])
def test_a_shift_is_found_at_every_size(side):
    target = PLANE + np.array([0.1, 0], np.float32)
    places = compute_backward_flow(PLANE, with_depth(target, 0), HALVES, 0, side).sampling_grid()
    middle = side // 2
    np.testing.assert_allclose(places[middle, middle], [middle - 0.05 * side, middle], atol=0.02)


def test_density_and_surroundings_scale_and_offset_the_places():
    flow = compute_backward_flow(PLANE, with_depth(PLANE, 0), HALVES, 0, SIDE)
    np.testing.assert_allclose(flow.sampling_grid(2, 10), 2 * (flow.sampling_grid() + 10), atol=1e-3)


@pytest.mark.parametrize(("near", "far"), [(0, 1), (1, 0)])
def test_the_nearer_of_two_planes_hides_the_other(near, far):
    aside = PLANE * 0.3 + np.array([0.5, 0.5], np.float32)
    source = np.concatenate([aside, -aside[[2, 3, 0, 1]]])
    target = np.concatenate([with_depth(PLANE * 0.5, near), with_depth(PLANE * 0.5, far)])
    places = compute_backward_flow(source, target, np.concatenate([HALVES, HALVES + 4]), 0, SIDE).sampling_grid()
    wanted = aside if near < far else -aside
    low, high = pixels(wanted.min(axis=0)), pixels(wanted.max(axis=0))
    inside = places[SIDE // 2, SIDE // 2]
    assert np.all(inside >= low - 1)
    assert np.all(inside <= high + 1)


def test_a_triangle_that_shows_its_back_is_left_out_unless_it_has_two_sides():
    turned = with_depth(PLANE * np.array([-1, 1], np.float32), 0)
    assert not compute_backward_flow(PLANE, turned, HALVES, 0, SIDE).coverage_mask().any()
    assert compute_backward_flow(PLANE, turned, HALVES, 2, SIDE).coverage_mask()[SIDE // 2, SIDE // 2]


def test_seams_between_planes_are_sharp_to_the_pixel():
    """Left and right half are shifted apart: no pixel may come from in between."""
    left, right = PLANE * np.array([0.5, 1]) - [0.45, 0], PLANE * np.array([0.5, 1]) + [0.45, 0]
    source = np.concatenate([left, right]).astype(np.float32)
    target = np.concatenate([with_depth(left + [0, 0.2], 0), with_depth(right - [0, 0.2], 0)])
    places = compute_backward_flow(source, target, np.concatenate([HALVES, HALVES + 4]), 0, 512).sampling_grid()
    row = places[256, 60:450, 1] - 256
    assert np.all(np.abs(np.abs(row) - 0.1 * 512) < 1)


def test_sampling_goes_on_beyond_the_edges():
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    places = np.array([[[-3, 0], [2.5, 1], [20, 7]]], np.float32)
    np.testing.assert_allclose(sample_image(ramp, places), [[0, 2.5, 7]])
