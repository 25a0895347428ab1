"""The key-point detector: unsupervised points of a face and the affine motion about each (DaGAN, section 3.2).

It looks at colour and face depth together (``rgbd``), or at one of the two. Coordinates are those of the published
weights: the first and last *cell* of the heat map lie at -1 and 1 (``grid.corner_grid``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import AntiAliasInterpolation, Hourglass
from livehead.models.grid import corner_grid, disable_autocast


class LearnedKeypoints(NamedTuple):
    """``value`` [B, K, 2] (x, y) in [-1, 1]; ``jacobian`` [B, K, 2, 2]: how the surroundings of each are deformed."""

    value: Tensor
    jacobian: Tensor

    def to(self, device: torch.device) -> LearnedKeypoints:
        """The same on ``device``, float32."""
        return LearnedKeypoints(*(part.to(device, torch.float32) for part in self))


class KeypointDetector(nn.Module):
    """``down`` and ``predictor`` see the picture at a quarter of its size; two 7 x 7 heads read points off it."""

    def __init__(
        self, down: AntiAliasInterpolation, predictor: Hourglass, points: int, temperature: float = 0.1
    ) -> None:
        super().__init__()
        self.down = down
        self.predictor = predictor
        self.kp = nn.Conv2d(predictor.out_channels, points, 7)
        self.jacobian = nn.Conv2d(predictor.out_channels, 4 * points, 7)
        self.temperature = temperature
        nn.init.zeros_(self.jacobian.weight)
        with torch.no_grad():
            self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(points))

    @property
    def input_channels(self) -> int:
        """Of the picture: 4 (RGB and disparity), 3 or 1."""
        return self.down.weight.shape[0]

    @property
    def keypoint_count(self) -> int:
        """How many it finds."""
        return self.jacobian.bias.shape[0] // 4

    def forward(self, picture: Tensor) -> LearnedKeypoints:
        """``picture`` [B, C, S, S] in [0, 1]: RGB, then disparity as the depth network gives it."""
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
