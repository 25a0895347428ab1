import torch
import torch.nn.functional as F

from livehead.models.blocks import AntiAliasInterpolation
from livehead.models.dagan.dense_motion import gaussian_heat_maps
from livehead.models.grid import corner_grid
from livehead.training.dagan.equivariance import EquivarianceTransform


def test_a_deformation_is_the_published_one(parity):
    fixture = parity("dagan-transform")
    deformation = EquivarianceTransform(fixture["theta"], fixture["control_params"])
    torch.testing.assert_close(deformation.warp_coordinates(fixture["coords"]), fixture["warped"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(deformation.jacobian(fixture["coords"]), fixture["jacobian"], atol=1e-4, rtol=1e-4)
    picture = deformation.warp_image(fixture["frame"])
    torch.testing.assert_close(picture, fixture["transformed_frame"], atol=1e-4, rtol=1e-4)


def test_pyramid_and_heat_maps_are_the_published_ones(parity):
    fixture = parity("dagan-transform")
    for scale in (1, 0.5, 0.25, 0.125):
        down = AntiAliasInterpolation(3, scale)
        assert list(down.weight.shape) == fixture["kernels_json"][str(scale)]
        expected = fixture[f"pyr_prediction_{scale}"]
        torch.testing.assert_close(down(fixture["pyr_x"]), expected, atol=1e-5, rtol=1e-4)
    height, width = fixture["gauss"].shape[2:]
    maps = gaussian_heat_maps(fixture["gauss_value"], corner_grid(height, width, fixture["gauss"]))
    torch.testing.assert_close(maps, fixture["gauss"], atol=1e-5, rtol=1e-4)


def test_the_jacobian_is_the_derivative():
    deformation = EquivarianceTransform.sample_random(2, torch.Generator().manual_seed(1))
    points = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    points.requires_grad_()
    moved = deformation.warp_coordinates(points)
    rows = [torch.autograd.grad(moved[..., i].sum(), points, retain_graph=True)[0] for i in range(2)]
    torch.testing.assert_close(deformation.jacobian(points), torch.stack(rows, dim=2))


def test_random_deformations_repeat_with_their_seed_and_stay_small():
    first, second = (EquivarianceTransform.sample_random(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.affine, second.affine)
    picture = F.interpolate(torch.rand(3, 3, 8, 8), (64, 64), mode="bilinear", align_corners=False)
    assert (first.warp_image(picture) - picture).abs().mean() < 0.2
