"""The key-point detector: unsupervised points of a face and the affine motion around each (DaGAN, section 3.2).

Its input is colour and face depth together (``rgbd``), or one of the two. Coordinates are those of the published
weights: the first and last *cell* of the heat map lie at -1 and 1 (``grid.corner_grid``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import AntiAliasInterpolation, Hourglass
from livehead.models.grid import corner_grid, disable_autocast


class LearnedKeypoints(NamedTuple):
    """Key points: ``value`` [B, K, 2] (x, y) in [-1, 1]; ``jacobian`` [B, K, 2, 2], the deformation around each."""

    value: Tensor
    jacobian: Tensor

    def to(self, device: torch.device) -> LearnedKeypoints:
        """The same key points on ``device``, float32."""
        return LearnedKeypoints(self.value.to(device, torch.float32), self.jacobian.to(device, torch.float32))


class KeypointDetector(nn.Module):
    """A detector that works on a quarter of the picture's size; two 7 x 7 heads predict points and Jacobians."""

    def __init__(
        self, down: AntiAliasInterpolation, predictor: Hourglass, points: int, temperature: float = 0.1
    ) -> None:
        super().__init__()
        self.down = down
        self.predictor = predictor
        self.kp = nn.Conv2d(predictor.out_channels, points, 7)
        self.jacobian = nn.Conv2d(predictor.out_channels, 4 * points, 7)
        self.temperature = temperature
        self.keypoint_count = points
        nn.init.zeros_(self.jacobian.weight)
        assert self.jacobian.bias is not None
        with torch.no_grad():
            self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(points))

    @property
    def input_channels(self) -> int:
        """The channels of its picture: 4 (RGB and disparity), 3 or 1."""
        return self.down.weight.shape[0]

    def forward(self, picture: Tensor) -> LearnedKeypoints:
        """Detect key points in ``picture`` [B, C, S, S] in [0, 1]: RGB, then the depth network's disparity."""
        x = self.down(picture).to(self.kp.weight.dtype, memory_format=torch.channels_last)
        features = self.predictor(x)
        logits = self.kp(features).float()
        maps = self.jacobian(features).float()
        batch, count, height, width = logits.shape
        with disable_autocast(logits):
            heat = torch.softmax(logits.flatten(2) / self.temperature, dim=-1)
            grid = corner_grid(height, width, heat).view(-1, 2)
            jacobian = torch.einsum("bkn,bkcn->bkc", heat, maps.view(batch, count, 4, -1))
            return LearnedKeypoints(heat @ grid, jacobian.view(batch, count, 2, 2))
