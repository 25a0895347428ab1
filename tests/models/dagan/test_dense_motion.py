import torch

from livehead.models.blocks import Hourglass
from livehead.models.dagan.dense_motion import (
    DenseMotion,
    blend_candidates,
    bounded_inverse,
    gaussian_heat_maps,
    keypoint_displacements,
)
from livehead.models.grid import identity_grid


def test_a_key_point_moves_to_its_place_in_the_source():
    driving, source = torch.tensor([[[0.25, -0.5]]]), torch.tensor([[[-0.125, 0.375]]])
    displacement = keypoint_displacements(driving, source, torch.tensor([[[[1.5, 0.25], [-0.5, 0.75]]]]))
    moved = driving + (displacement[..., :2] @ driving[..., None])[..., 0] + displacement[..., 2]
    assert torch.allclose(moved, source)


def test_blending_maps_equals_blending_flows():
    torch.manual_seed(0)
    displacements, mask = torch.randn(2, 5, 2, 3), torch.softmax(torch.randn(2, 5, 6, 8), dim=1)
    grid = identity_grid(6, 8, mask)[:, None]
    linear, offset = displacements[..., :2], displacements[..., 2]
    flows = torch.einsum("bkij,bkhwj->bkhwi", linear, grid.expand(2, 5, -1, -1, -1)) + offset[:, :, None, None]
    assert torch.allclose(blend_candidates(mask, displacements), (mask[..., None] * flows).sum(1), atol=1e-5)


def test_a_heat_map_peaks_at_its_point():
    points = torch.tensor([[[1 / 16, -3 / 16]]])
    maps = gaussian_heat_maps(points, identity_grid(16, 16, points))
    assert divmod(int(maps.flatten().argmax()), 16) == (6, 8)
    assert maps.max() == 1


def test_an_untrained_corrector_is_its_prior():
    network = DenseMotion(Hourglass(3, 4, 8, 1), candidates=5, occlusions=2, kernel=3, refines_prior=True).eval()
    prior = torch.randn(1, 5, 8, 8)
    masks = network(torch.rand(1, 3, 8, 8), prior)
    assert torch.equal(masks.mask, torch.softmax(prior, dim=1))
    assert not masks.residual.any()


def test_a_well_conditioned_jacobian_is_inverted_exactly():
    torch.manual_seed(0)
    jacobian = torch.eye(2) + 0.3 * torch.randn(100, 2, 2)
    jacobian = jacobian[torch.linalg.inv(jacobian).norm(dim=(1, 2)) < 20]
    assert torch.allclose(bounded_inverse(jacobian), torch.linalg.inv(jacobian), atol=1e-4, rtol=1e-4)


def test_a_singular_jacobian_does_not_explode():
    singular = torch.tensor([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0 - 1e-7]]])
    inverse = bounded_inverse(singular)
    assert inverse.isfinite().all()
    assert (inverse.norm(dim=(1, 2)) <= 20.001).all()
