"""Dense motion: which of several candidate motions every pixel follows (DaGAN, section 3.3; FOMM, equations 4-6).

A candidate is an affine map ``z -> A z + b`` from driving to source coordinates, stored as its displacement [2, 3]:
``flow(z) = D @ (x, y, 1)`` with ``D = [A - I | b]``. A softmax over candidates blends them to one flow.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import Hourglass, zero_parameters
from livehead.models.grid import disable_autocast, identity_grid
from livehead.motion.retarget.relative import MAX_INVERSE_NORM


class MotionMasks(NamedTuple):
    """The network's output: ``mask`` [B, K, H, W], in sum 1 over the candidates; ``occlusion`` [B, O, H, W] in [0, 1];
    ``residual`` [B, H, W, 2], a flow to be added, or None."""

    mask: Tensor
    occlusion: Tensor
    residual: Tensor | None


def gaussian_heat_maps(points: Tensor, grid: Tensor, variance: float = 0.01) -> Tensor:
    """Gaussian bells exp(-d^2 / (2 variance)) around points [B, K, 2] on ``grid`` [1, H, W, 2]: [B, K, H, W]."""
    squares = ((grid[:, None] - points[:, :, None, None]) ** 2).sum(dim=-1)
    return torch.exp(-squares / (2 * variance))


def keypoint_displacements(driving: Tensor, source: Tensor, jacobian: Tensor) -> Tensor:
    """Displacements [B, K, 2, 3] ``J (z - d) + s - z`` for points [B, K, 2] and Jacobians [B, K, 2, 2]."""
    offset = source - (jacobian @ driving[..., None])[..., 0]
    linear = jacobian - torch.eye(2, device=jacobian.device, dtype=jacobian.dtype)
    return torch.cat([linear, offset[..., None]], dim=-1)


def bounded_inverse(jacobian: Tensor, largest: float = MAX_INVERSE_NORM) -> Tensor:
    """Invert matrices [..., 2, 2]; the inverse is exact as long as its Frobenius norm is at most ``largest``.

    A detector's nearly singular Jacobian would otherwise throw a whole region out of the picture.
    """
    a, b, c, d = jacobian.flatten(-2).unbind(dim=-1)
    determinant = a * d - b * c
    least = (jacobian.flatten(-2).square().sum(dim=-1).sqrt() / largest).clamp_min(1e-6)
    size = torch.maximum(determinant.abs(), least)
    sign = torch.where(determinant < 0, -1.0, 1.0)
    adjugate = torch.unflatten(torch.stack([d, -b, -c, a], dim=-1), -1, (2, 2))
    return adjugate * (sign / size)[..., None, None]


def blend_candidates(mask: Tensor, displacements: Tensor, grid: Tensor | None = None) -> Tensor:
    """The flow [B, H, W, 2] of affine candidates [B, K, 2, 3], weighted by ``mask`` [B, K, H, W].

    ``grid`` [1, H, W, 2]: where the pixels are, by default at ``identity_grid``. The weighted mean is taken of the
    maps, not of K flows: an affine map's mean is the affine map of means.
    """
    batch, count, height, width = mask.shape
    with disable_autocast(mask):
        mean = displacements.reshape(batch, count, 6).transpose(1, 2) @ mask.flatten(2).float()
    xx, xy, x1, yx, yy, y1 = mean.view(batch, 6, height, width).unbind(dim=1)
    x, y = (identity_grid(height, width, mask) if grid is None else grid).unbind(dim=-1)
    return torch.stack([xx * x + xy * y + x1, yx * x + yy * y + y1], dim=-1)


class DenseMotion(nn.Module):
    """The network that weighs the candidate motions of every pixel.

    Convolutions of ``kernel`` x ``kernel`` predict ``candidates`` masks and ``occlusions`` maps from an hourglass.
    With ``refines_prior`` the network only *corrects* a prior: its logits are added to the prior's, it may add a
    residual flow of at most 0.1, and both start at zero.
    """

    def __init__(
        self, hourglass: Hourglass, candidates: int, occlusions: int, kernel: int, refines_prior: bool
    ) -> None:
        super().__init__()
        self.hourglass = hourglass
        self.mask = nn.Conv2d(hourglass.out_channels, candidates, kernel, padding=kernel // 2)
        self.occlusion = nn.Conv2d(hourglass.out_channels, occlusions, kernel, padding=kernel // 2)
        self.residual = nn.Conv2d(hourglass.out_channels, 2, kernel, padding=kernel // 2) if refines_prior else None
        if self.residual is not None:
            for head in (self.mask, self.residual):
                zero_parameters(head)

    def forward(self, x: Tensor, prior: Tensor | None = None) -> MotionMasks:
        """Weigh the candidates from the input ``x`` [B, C, H, W]; ``prior`` [B, K, H, W]: logits to start from."""
        features = self.hourglass(x.to(self.mask.weight.dtype, memory_format=torch.channels_last))
        logits = self.mask(features).float()
        mask = torch.softmax(logits if prior is None else logits + prior, dim=1)
        residual = None
        if self.residual is not None:
            residual = 0.1 * torch.tanh(self.residual(features).float()).movedim(1, -1)
        return MotionMasks(mask, torch.sigmoid(self.occlusion(features)), residual)
