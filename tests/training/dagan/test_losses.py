import pytest
import torch

from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.training.dagan.equivariance import EquivarianceTransform
from livehead.training.dagan.losses import (
    equivariance_losses,
    keypoint_separation,
    loss_weights,
    multiscale_gradient_loss,
)
from livehead.training.dagan.recipe import DaganLossWeights


def test_points_that_move_along_with_a_deformation_cost_nothing():
    deformation = EquivarianceTransform.sample_random(2, torch.Generator().manual_seed(0))
    value = torch.rand(2, 5, 2) - 0.5
    jacobian = torch.eye(2) + 0.1 * torch.randn(2, 5, 2, 2)
    moved = LearnedKeypoints(deformation.warp_coordinates(value), deformation.jacobian(value) @ jacobian)
    for term in equivariance_losses(moved, LearnedKeypoints(value, jacobian), deformation):
        assert term.item() == pytest.approx(0, abs=1e-5)
    still = equivariance_losses(LearnedKeypoints(value, jacobian), LearnedKeypoints(value, jacobian), deformation)
    assert all(term > 0.01 for term in still)


def test_crowded_points_are_pushed_apart():
    """At the two ends it costs what the published step function costs; between them it has a slope."""
    together, apart = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 0.0], [0.2, 0.0]]])
    assert keypoint_separation(together, 0.2).item() == pytest.approx(2 * 2 / 4, rel=1e-2)
    assert keypoint_separation(apart, 0.2) < 1e-6
    points = torch.tensor([[[0.0, 0.0], [0.1, 0.0]]], requires_grad=True)
    keypoint_separation(points, 0.2).backward()
    assert points.grad[0, 1, 0] < 0 < points.grad[0, 0, 0]
    assert torch.isfinite(points.grad).all()


def test_points_in_one_place_have_a_finite_slope():
    points = torch.zeros(1, 3, 2, requires_grad=True)
    keypoint_separation(points, 0.2).backward()
    assert torch.isfinite(points.grad).all()


def test_likeness_without_a_judge_is_0_for_equal_pictures_and_grows_with_blur():
    picture = torch.rand(1, 3, 64, 64)
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    assert multiscale_gradient_loss(picture, picture) == 0
    assert multiscale_gradient_loss(blurred, picture) > 0.1


def test_the_published_weights():
    assert loss_weights(DaganLossWeights(), blocks=4, perceptual=True) == {
        "likeness": 10,
        "adversarial": 1,
        "matching": 40,
        "value": 10,
        "jacobian": 10,
        "distance": 10,
    }
