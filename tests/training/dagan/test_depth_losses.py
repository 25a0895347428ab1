import pytest
import torch
import torch.nn.functional as F

from livehead.training.dagan.depth_losses import (
    NeighbourView,
    camera_motion,
    depth_losses,
    scale_intrinsics,
    warp_to_frame,
)
from livehead.training.dagan.projection import edge_aware_smoothness, photometric_error, rigid_transform_matrix

SIDE = 32
LENS = torch.tensor([[[32.0, 0, 16], [0, 32, 16], [0, 0, 1]]])


def picture():
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)


def step_aside(metres):
    return rigid_transform_matrix(torch.zeros(1, 3), torch.tensor([[metres, 0.0, 0.0]]))


def scene(disparity):
    """A neighbour such that the true disparity turns it into the frame."""
    neighbour = picture()
    view = NeighbourView(neighbour, step_aside(0.3), LENS)
    return warp_to_frame(disparity, view), view


def test_true_depth_explains_a_neighbour_better_than_false_depth():
    truth = torch.full((1, 1, SIDE, SIDE), 0.3)
    frame, view = scene(truth)
    right = depth_losses(frame, [truth], [view, view], None)
    wrong = depth_losses(frame, [truth * 0.5], [view, view], None)
    assert right.photometric < 1e-4 < wrong.photometric
    assert right.still < 0.1


def test_what_stands_still_is_left_out():
    frame = picture()
    view = NeighbourView(frame, step_aside(0.3), LENS)
    disparity = torch.full((1, 1, SIDE, SIDE), 0.3, requires_grad=True)
    terms = depth_losses(frame, [disparity], [view, view], torch.Generator().manual_seed(0))
    assert terms.still > 0.99
    terms.photometric.backward()
    assert disparity.grad.abs().sum() < 1e-2


def test_terms_are_means_over_scales_of_the_published_ones(parity):
    fixture = parity("dagan-depthstage")
    frame, neighbour = fixture["im_target"], fixture["im_source"]
    view = NeighbourView(neighbour, fixture["T"], fixture["K_after"])
    coarse = F.avg_pool2d(fixture["disp"], 2)
    terms = depth_losses(frame, [fixture["disp"], coarse], [view], None)
    full = F.interpolate(coarse, frame.shape[2:], mode="bilinear", align_corners=False)
    unmoved = photometric_error(neighbour, frame)
    first = torch.minimum(fixture["reprojection"], unmoved).mean()
    second = torch.minimum(photometric_error(warp_to_frame(full, view), frame), unmoved).mean()
    torch.testing.assert_close(terms.photometric, (first + second) / 2, atol=1e-4, rtol=1e-4)
    rough = fixture["smooth"] + edge_aware_smoothness(coarse, F.avg_pool2d(frame, 2)) / 2
    torch.testing.assert_close(terms.smoothness, rough / 2, atol=1e-4, rtol=1e-4)


def test_the_way_to_an_earlier_frame_is_the_way_back():
    turn, shift = torch.randn(2, 2, 1, 3), torch.randn(2, 2, 1, 3)
    there, back = (camera_motion(turn, shift, earlier=earlier) for earlier in (False, True))
    torch.testing.assert_close(there @ back, torch.eye(4).expand(2, 4, 4), atol=1e-5, rtol=1e-5)


def test_a_lens_scales_with_the_picture():
    half = scale_intrinsics(torch.tensor([[[200.0, 0, 128], [0, 200, 128], [0, 0, 1]]]), 128)
    assert half[0].tolist() == [[100, 0, 64], [0, 100, 64], [0, 0, 1]]
    assert scale_intrinsics(LENS, 256) == pytest.approx(LENS)
