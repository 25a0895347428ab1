"""The losses that teach face depth without labels: a frame has to look like its neighbours, carried to its own camera
(Godard et al., ICCV 2019, section 3; DaGAN, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.training.dagan.projection import (
    back_project_depth,
    disparity_to_depth,
    edge_aware_smoothness,
    photometric_error,
    project_points,
    rigid_transform_matrix,
    sample_view,
)

_TIE_BREAK_NOISE = 1e-5  # breaks ties between a neighbour that was moved and one that was not


class NeighbourView(NamedTuple):
    """A neighbour of the frame: its ``picture`` [B, 3, H, W] RGB in [0, 1], the ``motion`` [B, 4, 4] of the camera from
    the frame to it, and the ``intrinsics`` [B, 3, 3] in pixels of this size."""

    picture: Tensor
    motion: Tensor
    intrinsics: Tensor


class DepthTerms(NamedTuple):
    """Means over scales: ``photometric`` and ``smoothness``, which are lowered, and ``still``, the share left out."""

    photometric: Tensor
    smoothness: Tensor
    still: Tensor


def camera_motion(axis_angle: Tensor, translation: Tensor, *, earlier: bool) -> Tensor:
    """The camera's motion [B, 4, 4] from the frame to its neighbour, by the first of the motions [B, F, 1, 3].

    The network always sees the earlier frame first, so that its motion is inverted for an ``earlier`` neighbour.
    """
    return rigid_transform_matrix(axis_angle[:, 0, 0], translation[:, 0, 0], invert=earlier)


def scale_intrinsics(intrinsics: Tensor, side: int, trained_side: int = 256) -> Tensor:
    """Intrinsics [B, 3, 3] of pictures of ``trained_side`` pixels as those of pictures of ``side`` pixels.

    They stay real numbers; the published training cuts them to whole ones, which lets no gradient through.
    """
    scale = torch.tensor([side / trained_side, side / trained_side, 1.0], device=intrinsics.device)
    return intrinsics * scale[:, None]


def warp_to_frame(disparity: Tensor, view: NeighbourView) -> Tensor:
    """The neighbour's picture as seen from the frame, [B, 3, H, W], by the frame's ``disparity`` [B, 1, H, W]."""
    height, width = disparity.shape[2:]
    points = back_project_depth(disparity_to_depth(disparity).depth, view.intrinsics)
    return sample_view(view.picture, project_points(points, view.intrinsics, view.motion, height, width))


def depth_losses(
    frame: Tensor, disparities: Sequence[Tensor], views: Sequence[NeighbourView], generator: torch.Generator | None
) -> DepthTerms:
    """The losses of a ``frame`` [B, 3, H, W] and its disparities [B, 1, H / 2^s, W / 2^s], the finest first.

    Each pixel is judged by the neighbour that fits it best; where one fits best that was not moved at all (a picture
    that stands still, or a thing that moves with the camera), there is nothing to learn. ``generator`` draws the noise
    that breaks ties, on the CPU; without one the result is the same at each call.
    """
    unmoved = torch.cat([photometric_error(view.picture, frame) for view in views], dim=1)
    if generator is not None:
        unmoved = unmoved + _TIE_BREAK_NOISE * torch.randn(unmoved.shape, generator=generator).to(frame.device)
    total, rough, still = (frame.new_zeros(()) for _ in range(3))
    for scale, disparity in enumerate(disparities):
        full = F.interpolate(disparity, frame.shape[2:], mode="bilinear", align_corners=False)
        moved = torch.cat([photometric_error(warp_to_frame(full, view), frame) for view in views], dim=1)
        best = torch.cat([unmoved, moved], dim=1).min(dim=1)
        total = total + best.values.mean()
        still = still + (best.indices < len(views)).float().mean()
        small = F.interpolate(frame, disparity.shape[2:], mode="area")
        rough = rough + edge_aware_smoothness(disparity, small) / 2**scale
    count = len(disparities)
    return DepthTerms(total / count, rough / count, still / count)
