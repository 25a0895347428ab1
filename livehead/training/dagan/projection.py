"""Projection from disparity and a camera's motion into another frame of the same face, and how well it fits there.

Face depth learns from it without labels (DaGAN, section 3.1, after Godard et al. 2019, equations 1 to 3).

Camera coordinates: x right, y down, z away; pixels: centres at integers. Depth lies between 0.1 and 100.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_DEPTH, MAX_DEPTH = 0.1, 100.0
_EPSILON = 1e-7
_C1, _C2 = 0.01**2, 0.03**2
_SSIM_WEIGHT = 0.85  # share of SSIM in the photometric error


class DisparityAndDepth(NamedTuple):
    """The ``scaled`` disparity (1 / depth) and the ``depth``, both of the disparity's shape."""

    scaled: Tensor
    depth: Tensor


def disparity_to_depth(disparity: Tensor) -> DisparityAndDepth:
    """Depth between ``MIN_DEPTH`` and ``MAX_DEPTH`` from a network's disparity in (0, 1)."""
    scaled = 1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * disparity
    return DisparityAndDepth(scaled, 1 / scaled)


def rigid_transform_matrix(axis_angle: Tensor, translation: Tensor, *, invert: bool = False) -> Tensor:
    """The matrix [B, 4, 4] of a rotation [B, 3] (radians about its own direction) followed by a shift [B, 3].

    With ``invert`` it is the inverse motion.
    """
    matrix = torch.eye(4, device=axis_angle.device, dtype=axis_angle.dtype).repeat(len(axis_angle), 1, 1)
    rotation = _rotation_matrix(axis_angle)
    if invert:
        back = rotation.transpose(1, 2)
        matrix[:, :3, :3], matrix[:, :3, 3:] = back, -back @ translation[..., None]
    else:
        matrix[:, :3, :3], matrix[:, :3, 3:] = rotation, translation[..., None]
    return matrix


def _rotation_matrix(axis_angle: Tensor) -> Tensor:
    """The rotation matrix [B, 3, 3] by Rodrigues' formula."""
    angle = axis_angle.norm(dim=1)[:, None, None]
    x, y, z = (axis_angle / (angle[..., 0] + _EPSILON)).unbind(dim=1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    outer = torch.stack([x, y, z], dim=1)[:, :, None] * torch.stack([x, y, z], dim=1)[:, None]
    eye = torch.eye(3, device=x.device, dtype=x.dtype)
    return torch.cos(angle) * eye + torch.sin(angle) * cross + (1 - torch.cos(angle)) * outer


def back_project_depth(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Camera points [B, 4, H W], homogeneous, of ``depth`` [B, 1, H, W] under ``intrinsics`` [B, 3, 3]."""
    batch, _, height, width = depth.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=depth.dtype),
        torch.arange(width, device=depth.device, dtype=depth.dtype),
        indexing="ij",
    )
    pixels = torch.stack([x, y, torch.ones_like(x)]).view(1, 3, -1)
    points = torch.linalg.inv(intrinsics) @ pixels * depth.view(batch, 1, -1)
    return torch.cat([points, torch.ones_like(points[:, :1])], dim=1)


def project_points(points: Tensor, intrinsics: Tensor, motion: Tensor, height: int, width: int) -> Tensor:
    """The sampling grid [B, H, W, 2] of ``points`` [B, 4, H W] after ``motion`` [B, 4, 4]; outer pixels at -1 and 1."""
    projected = intrinsics @ (motion @ points)[:, :3]
    pixels = (projected[:, :2] / (projected[:, 2:] + _EPSILON)).view(-1, 2, height, width).movedim(1, -1)
    last = torch.tensor([width - 1, height - 1], device=pixels.device, dtype=pixels.dtype)
    return (pixels / last - 0.5) * 2


def sample_view(picture: Tensor, sampling_grid: Tensor) -> Tensor:
    """Sample ``picture`` [B, C, H, W] at the grid of ``project_points``; beyond the border the border repeats."""
    return F.grid_sample(picture, sampling_grid, padding_mode="border", align_corners=False)


def ssim_error(a: Tensor, b: Tensor) -> Tensor:
    """(1 - SSIM) / 2 in [0, 1] of each pixel over 3 x 3 neighbours, [B, C, H, W], of RGB in [0, 1]."""
    a, b = (F.pad(picture, (1, 1, 1, 1), mode="reflect") for picture in (a, b))
    mean_a, mean_b = F.avg_pool2d(a, 3, 1), F.avg_pool2d(b, 3, 1)
    spread_a = F.avg_pool2d(a * a, 3, 1) - mean_a**2
    spread_b = F.avg_pool2d(b * b, 3, 1) - mean_b**2
    shared = F.avg_pool2d(a * b, 3, 1) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + _C1) * (2 * shared + _C2)
    normalizer = (mean_a**2 + mean_b**2 + _C1) * (spread_a + spread_b + _C2)
    return ((1 - similarity / normalizer) / 2).clamp(0, 1)


def photometric_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The error [B, 1, H, W] of each pixel of RGB in [0, 1]: mostly of structure (SSIM), partly absolute difference."""
    difference = (target - prediction).abs().mean(dim=1, keepdim=True)
    return _SSIM_WEIGHT * ssim_error(prediction, target).mean(dim=1, keepdim=True) + (1 - _SSIM_WEIGHT) * difference


def edge_aware_smoothness(disparity: Tensor, picture: Tensor) -> Tensor:
    """The mean slope of ``disparity`` [B, 1, H, W] over its own mean, less where ``picture`` has edges: a scalar."""
    disparity = disparity / (disparity.mean(dim=(2, 3), keepdim=True) + _EPSILON)
    total = disparity.new_zeros(())
    for axis in (2, 3):
        slope = disparity.diff(dim=axis).abs()
        edge = picture.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (slope * torch.exp(-edge)).mean()
    return total
