"""Pixel-aligned implicit functions: from the pictures' features at a point's projection to whether the point is inside
(Saito et al., "PIFu", ICCV 2019; "PIFuHD", CVPR 2020).

Points are [B, N, 3] or [B, 3, N] in [-1, 1]: x to the right, y up, z towards the camera, which sees along z without
perspective; a point's projection in the picture is (x, -y), where -1 and 1 are the centres of the outermost pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.grid import sample_align_corners
from livehead.models.pifuhd.hourglass import group_norm

DEPTH_SCALE = 1.28
"""Scale of depth for the coarse function: 256 / 200, half the picture's side in pixels over the authors' unit."""


class PointMlp(nn.Module):
    """Layers of ``widths`` that are applied to every point; those in ``joined`` take the input once more.

    ``normed``: whether group norms lie between the layers (they range over all points of a call, so the result depends
    on which those are). ``kept``: the layer whose result is the embedding.
    """

    def __init__(self, widths: Sequence[int], joined: Sequence[int], kept: int, *, normed: bool) -> None:
        super().__init__()
        pairs = [(a + (widths[0] if i in joined else 0), b) for i, (a, b) in enumerate(pairwise(widths))]
        self.filters = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairs)
        self.norms = nn.ModuleList(group_norm(b) for _, b in pairs[:-1]) if normed else None
        self.joined, self.kept = frozenset(joined), kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Occupancy [B, N] in (0, 1) and the embedding [B, N, E] of the inputs ``x`` [B, N, C]."""
        hidden, embedding = x, x
        for i, layer in enumerate(self.filters):
            assert isinstance(layer, nn.Conv1d)
            inputs = torch.cat([hidden, x], dim=-1) if i in self.joined else hidden
            hidden = F.linear(inputs, layer.weight.squeeze(-1), layer.bias)
            if i == len(self.filters) - 1:
                break
            if self.norms is not None:
                hidden = self.norms[i](hidden.transpose(1, 2)).transpose(1, 2)
            hidden = F.leaky_relu(hidden, 0.01, inplace=not torch.is_grad_enabled())
            if i == self.kept:
                embedding = hidden
        return hidden.squeeze(-1).sigmoid(), embedding


def project_to_image(points: Tensor) -> Tensor:
    """Project points [B, N, 3] to the picture: [B, N, 2]."""
    return points[..., :2] * points.new_tensor([1.0, -1.0])


def coarse_input(features: Tensor, points: Tensor) -> Tensor:
    """The coarse function's input for points [B, N, 3]: [B, N, F + 1], the last the scaled depth."""
    sampled = sample_align_corners(features, project_to_image(points))
    return torch.cat([sampled, points[..., 2:] * DEPTH_SCALE], dim=-1)


def fine_input(features: Tensor, points: Tensor, embedding: Tensor) -> Tensor:
    """The fine function's input for points [B, N, 3]: [B, N, F + E]."""
    return torch.cat([sample_align_corners(features, project_to_image(points)), embedding], dim=-1)


def is_inside(coordinates: Tensor) -> Tensor:
    """Tell whether all coordinates [..., D] of each point are in [-1, 1]: bool [...]."""
    return (coordinates.abs() <= 1).all(dim=-1)
