import itertools

import numpy as np
import pytest

from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.relative import hull_area, invert_bounded, transfer_relative_motion
from livehead.motion.retarget.transfer import MotionTransfer


@pytest.fixture(scope="module")
def fixture(parity):
    return {name: value.numpy() for name, value in parity("dagan-normalize_kp").items()}


def points(fixture, name):
    value, jacobian = fixture[f"{name}_value"], fixture[f"{name}_jacobian"]
    return Keypoints("dagan15", value, None, jacobian, np.ones(1, np.float32), 0)


@pytest.mark.parametrize(("relative", "jacobian", "adapt"), itertools.product([0, 1], repeat=3))
def test_learned_points_move_as_in_the_published_system(fixture, relative, jacobian, adapt):
    source, driving, initial = (points(fixture, name) for name in ("source", "driving", "initial"))
    if relative:
        moved = transfer_relative_motion(
            source, driving, initial, adapt_scale=bool(adapt), relative_jacobian=bool(jacobian)
        )
    else:
        moved = MotionTransfer(source, mode="absolute").apply(driving)
    flags = f"rel{relative}_jac{jacobian}_adapt{adapt}"
    np.testing.assert_allclose(moved.value, fixture[f"value_{flags}"], atol=1e-5)
    np.testing.assert_allclose(moved.jacobian, fixture[f"jacobian_{flags}"], atol=1e-4)


def test_hull_areas_are_the_published_ones(fixture):
    for name in ("source", "initial"):
        assert hull_area(fixture[f"{name}_value"][0]) == pytest.approx(float(fixture[f"{name}_area"]), rel=1e-5)


def test_a_neutral_face_whose_jacobian_is_singular_does_not_explode(fixture):
    source, driving, initial = (points(fixture, name) for name in ("source", "driving", "initial"))
    flat = np.zeros_like(initial.jacobian)
    flat[..., 0] = 1
    for singular in (flat, np.zeros_like(flat)):
        neutral = Keypoints("dagan15", initial.value, None, singular, np.ones(1, np.float32), 0)
        moved = transfer_relative_motion(source, driving, neutral, adapt_scale=True)
        assert np.abs(moved.jacobian).max() < 100


def test_a_well_conditioned_jacobian_is_inverted_exactly(fixture):
    jacobian = fixture["driving_jacobian"]
    np.testing.assert_allclose(invert_bounded(jacobian), np.linalg.inv(jacobian), atol=1e-5)
