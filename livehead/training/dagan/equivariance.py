"""Random deformations of a picture, along which its key points have to move (DaGAN, section 3.5; FOMM, section 3.1).

A deformation is an affine map near the identity and a thin-plate part whose radial term is taken of the *sum* of both
distances, as in the published training. Coordinates are the published networks' (``grid.corner_grid``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.models.grid import corner_grid

_CONTROLS_PER_SIDE = 5  # control points to a side
_EPSILON = 1e-6


class EquivarianceTransform:
    """A deformation: ``affine`` [B, 2, 3], and weights ``bending`` [B, 1, 25] of 5 x 5 control points, row by row."""

    def __init__(self, affine: Tensor, bending: Tensor) -> None:
        self.affine = affine
        self.bending = bending
        self._control_points = corner_grid(_CONTROLS_PER_SIDE, _CONTROLS_PER_SIDE, affine).view(1, 1, -1, 2)

    @classmethod
    def sample_random(
        cls, batch: int, generator: torch.Generator, affine: float = 0.05, bending: float = 0.005
    ) -> EquivarianceTransform:
        """Draw one deformation for each of ``batch`` pictures; ``affine`` and ``bending`` are standard deviations."""
        noise = affine * torch.randn(batch, 2, 3, generator=generator, device=generator.device)
        weights = torch.randn(batch, 1, _CONTROLS_PER_SIDE**2, generator=generator, device=generator.device)
        return cls(torch.eye(2, 3, device=generator.device) + noise, bending * weights)

    def warp_coordinates(self, coordinates: Tensor) -> Tensor:
        """The deformed ``coordinates`` [B, N, 2]."""
        moved = coordinates @ self.affine[:, :, :2].transpose(1, 2) + self.affine[:, :, 2][:, None]
        distance = (coordinates[:, :, None] - self._control_points).abs().sum(dim=-1)
        radial = distance.square() * torch.log(distance + _EPSILON)
        return moved + (radial * self.bending).sum(dim=-1, keepdim=True)

    def jacobian(self, coordinates: Tensor) -> Tensor:
        """The derivative of ``warp_coordinates`` at ``coordinates`` [B, N, 2]: [B, N, 2, 2], a row for each output."""
        offset = coordinates[:, :, None] - self._control_points
        distance = offset.abs().sum(dim=-1)
        slope = 2 * distance * torch.log(distance + _EPSILON) + distance.square() / (distance + _EPSILON)
        bent = ((slope * self.bending)[..., None] * offset.sign()).sum(dim=2)
        return self.affine[:, None, :, :2] + bent[:, :, None]

    def warp_image(self, picture: Tensor) -> Tensor:
        """``picture`` [B, C, H, W] sampled at its pixels' deformed coordinates; it is mirrored beyond its border."""
        height, width = picture.shape[2:]
        grid = corner_grid(height, width, picture).view(1, -1, 2).expand(len(picture), -1, -1)
        sampling_grid = self.warp_coordinates(grid).view(len(picture), height, width, 2)
        return F.grid_sample(picture, sampling_grid, padding_mode="reflection", align_corners=False)
