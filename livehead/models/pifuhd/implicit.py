"""Pixel-aligned implicit functions: from what the pictures show at a point's place to whether the point is inside
(Saito et al., "PIFu", ICCV 2019; "PIFuHD", CVPR 2020).

Points are [B, N, 3] or [B, 3, N] in [-1, 1]: x to the right, y up, z towards the camera, which sees along z without
perspective; a point's place in the picture is (x, -y), where -1 and 1 are the centres of the outermost pixels.
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
"""How depth is told to the coarse function: 256 / 200, half the picture's side in pixels over the authors' unit."""


class PointMlp(nn.Module):
    """Layers of ``widths``, the same for every point; those in ``joined`` see the input once more beside the last.

    ``normed``: group norms between (over all points asked for at once, so it matters which). ``kept``: the layer whose
    result is the embedding.
    """

    def __init__(self, widths: Sequence[int], joined: Sequence[int], kept: int, *, normed: bool) -> None:
        super().__init__()
        pairs = [(a + (widths[0] if i in joined else 0), b) for i, (a, b) in enumerate(pairwise(widths))]
        self.filters = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairs)
        self.norms = nn.ModuleList(group_norm(b) for _, b in pairs[:-1]) if normed else None
        self.joined, self.kept = frozenset(joined), kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` [B, N, C] to occupancy [B, N] in (0, 1) and the embedding [B, N, E]."""
        hidden, embedding = x, x
        for i, layer in enumerate(self.filters):
            seen = torch.cat([hidden, x], dim=-1) if i in self.joined else hidden
            hidden = F.linear(seen, layer.weight.squeeze(-1), layer.bias)
            if i == len(self.filters) - 1:
                break
            if self.norms is not None:
                hidden = self.norms[i](hidden.transpose(1, 2)).transpose(1, 2)
            hidden = F.leaky_relu(hidden, 0.01, inplace=not torch.is_grad_enabled())
            if i == self.kept:
                embedding = hidden
        return hidden.squeeze(-1).sigmoid(), embedding


def project_to_image(points: Tensor) -> Tensor:
    """Where the camera sees points [B, N, 3]: [B, N, 2]."""
    return points[..., :2] * points.new_tensor([1.0, -1.0])


def coarse_input(features: Tensor, points: Tensor) -> Tensor:
    """What the coarse function is told of points [B, N, 3]: [B, N, F + 1], the last the scaled depth."""
    seen = sample_align_corners(features, project_to_image(points))
    return torch.cat([seen, points[..., 2:] * DEPTH_SCALE], dim=-1)


def fine_input(features: Tensor, points: Tensor, embedding: Tensor) -> Tensor:
    """What the fine function is told: [B, N, F + E]."""
    return torch.cat([sample_align_corners(features, project_to_image(points)), embedding], dim=-1)


def is_inside(coordinates: Tensor) -> Tensor:
    """Whether all coordinates [..., D] are in [-1, 1]: bool [...]."""
    return (coordinates.abs() <= 1).all(dim=-1)
