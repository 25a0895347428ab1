"""Smoothing steadies what stands still and lets through what moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.smoothing import KeypointSmoother, SmoothingParameters

FRAME_NS = 33_333_333
SIZE = 0.1
NOISE = 0.006 * SIZE  # what MediaPipe shows on a still face


def cloud(points: Array, index: int, confidence: float = 1.0, jacobian: Array | None = None) -> Keypoints:
    return Keypoints(
        "cloud",
        points[None, :, :2].astype(np.float32),
        points[None, :, 2].astype(np.float32),
        jacobian,
        np.array([confidence], np.float32),
        index * FRAME_NS,
    )


@pytest.fixture
def shape() -> Array:
    return np.random.default_rng(1).normal(0, SIZE, (100, 3)).astype(np.float32)


def test_a_still_face_under_noise_stands_still(shape: Array) -> None:
    noise = np.random.default_rng(2)
    smoother = KeypointSmoother()
    raw = [cloud(shape + noise.normal(0, NOISE, shape.shape), i) for i in range(60)]
    smooth = [smoother.smooth(each) for each in raw]

    def trembling(stream: list[Keypoints]) -> float:
        return float(np.diff([each.value for each in stream[10:]], axis=0).std())

    assert trembling(smooth) < 0.35 * trembling(raw)


@pytest.mark.parametrize(("shift", "least"), [(0.1, 0.9), (0.3, 0.97)])
def test_a_sudden_move_arrives_in_the_same_frame(shape: Array, shift: float, least: float) -> None:
    smoother = KeypointSmoother()
    for i in range(10):
        smoother.smooth(cloud(shape, i))
    moved = smoother.smooth(cloud(shape + np.array([shift * SIZE, 0, 0]), 10))
    assert (moved.value[0, :, 0] - shape[:, 0]).mean() / (shift * SIZE) > least


def test_a_steady_motion_is_followed_within_a_fraction_of_a_frame(shape: Array) -> None:
    smoother = KeypointSmoother()
    step = 0.03 * SIZE
    for i in range(30):
        smooth = smoother.smooth(cloud(shape + np.array([i * step, 0, 0]), i))
    behind = (shape[:, 0] + 29 * step - smooth.value[0, :, 0]).mean()
    assert 0 <= behind < 0.3 * step


def test_smoothing_does_not_depend_on_the_size_of_the_face(shape: Array) -> None:
    near, far = KeypointSmoother(), KeypointSmoother()
    noise = np.random.default_rng(3).normal(0, NOISE, (20, *shape.shape))
    for i in range(20):
        a = near.smooth(cloud((shape + noise[i]) * 4, i))
        b = far.smooth(cloud(shape + noise[i], i))
    np.testing.assert_allclose(a.value, b.value * 4, atol=1e-6)


def test_after_a_lost_face_or_a_long_gap_it_starts_afresh(shape: Array) -> None:
    smoother = KeypointSmoother()
    smoother.smooth(cloud(shape, 0))
    smoother.smooth(cloud(shape, 1, confidence=0.0))
    back = cloud(shape + 0.002 * SIZE, 2)
    np.testing.assert_array_equal(smoother.smooth(back).value, back.value)
    late = cloud(shape, 60)
    np.testing.assert_array_equal(smoother.smooth(late).value, late.value)


def test_jacobians_are_smoothed_with_their_points(shape: Array) -> None:
    smoother = KeypointSmoother(SmoothingParameters(cutoff=1.0, beta=0.0))
    still, turned = np.zeros((1, 100, 2, 2), np.float32), np.ones((1, 100, 2, 2), np.float32)
    smoother.smooth(cloud(shape, 0, jacobian=still))
    jacobian = smoother.smooth(cloud(shape, 1, jacobian=turned)).jacobian
    assert jacobian is not None
    share = 2 * np.pi * FRAME_NS * 1e-9
    np.testing.assert_allclose(jacobian, share / (share + 1), rtol=1e-5)


def torso_stream(shape: Array, places: Array) -> list[Array]:
    smoother = KeypointSmoother()
    rest = np.array([[0, 0.2], [-0.2, 0.3], [0.2, 0.3]], np.float32)
    stream = []
    for i, place in enumerate(places):
        smooth = smoother.smooth(replace(cloud(shape, i), torso=(rest + place).astype(np.float32)[None])).torso
        assert smooth is not None
        stream.append(smooth[0] - rest)
    return stream


def test_a_torso_that_trembles_is_steadied_and_one_that_moves_is_followed(shape: Array) -> None:
    noise = np.random.default_rng(3).normal(0, NOISE, (60, 3, 2))
    steadied = np.diff(torso_stream(shape, noise)[10:], axis=0).std() / np.diff(noise[10:], axis=0).std()
    assert steadied < 0.5
    path = np.linspace(0, 1.5 * SIZE, 10)[:, None, None]
    behind = path[-1] - torso_stream(shape, np.broadcast_to(path, (10, 3, 2)))[-1]
    assert np.abs(behind).max() < 0.25 * SIZE


def test_a_torso_that_comes_into_sight_is_taken_as_it_is(shape: Array) -> None:
    smoother = KeypointSmoother()
    smoother.smooth(cloud(shape, 0))
    torso = np.ones((1, 3, 2), np.float32)
    assert smoother.smooth(replace(cloud(shape, 1), torso=torso)).torso is torso
    assert smoother.smooth(cloud(shape, 2)).torso is None
