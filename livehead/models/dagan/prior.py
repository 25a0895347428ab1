"""A good guess at the motion of a head from two meshes, without learning: candidates and how far each is trusted.

Candidates, in this order: no motion (the background), the head's affine map, the back of the head (the same turn at
another depth), 25 key points' own motions, and last the skin's own flow as the surface gives it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from livehead.models.dagan.dense_motion import keypoint_displacements
from livehead.models.grid import exact, identity_grid
from livehead.motion.mesh import MESH

KEYPOINTS = (
    10,
    54,
    284,
    234,
    454,
    58,
    288,
    150,
    379,
    152,
    105,
    334,
    33,
    133,
    362,
    263,
    468,
    473,
    4,
    61,
    291,
    0,
    17,
    13,
    14,
)
"""Forehead, temples, ears, jaw, chin, brows, eye corners, irises, nose, mouth corners, outer and inner lips."""

CANDIDATES = 3 + len(KEYPOINTS) + 1

_EARS = (234, 454)
_BACKGROUND_FROM, _BACKGROUND_SLOPE, _BACKGROUND_MOST = 1.7, 6.0, 8.0
_HEAD, _BACK, _POINT_REACH = -1.5, -4.0, 0.024
_SKIN_ON, _SKIN_OFF = 6.0, -12.0


class MotionPrior(NamedTuple):
    """``displacements`` [B, K - 1, 2, 3]: all candidates but the skin; ``logits`` [B, K, H, W]."""

    displacements: Tensor
    logits: Tensor


class HeadPrior(nn.Module):
    """Candidates from meshes; no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("points", torch.tensor(KEYPOINTS), persistent=False)
        self.register_buffer("rigid", torch.as_tensor(np.array(MESH.rigid), dtype=torch.int64), persistent=False)

    @torch.no_grad()
    def forward(self, driving: Tensor, source: Tensor, coverage: Tensor) -> MotionPrior:
        """Meshes [B, 478, 3] and where the skin is seen, ``coverage`` [B, 1, H, W]."""
        with exact(coverage):
            return self._guess(driving.float(), source.float(), coverage)

    def _guess(self, driving: Tensor, source: Tensor, coverage: Tensor) -> MotionPrior:
        affine = affine_head(driving[:, self.rigid, :2], source[:, self.rigid, :2])
        d, s = driving[:, self.points, :2], source[:, self.points, :2]
        own = keypoint_displacements(d, s, affine[:, None, :, :2].expand(-1, d.shape[1], -1, -1))
        head = torch.cat([affine[:, :, :2] - torch.eye(2, device=d.device), affine[:, :, 2:]], dim=-1)
        back = self._back_of_head(driving, source)
        displacements = torch.cat([torch.zeros_like(head)[:, None], head[:, None], back[:, None], own], dim=1)
        return MotionPrior(displacements, self._logits(d, coverage))

    def _back_of_head(self, driving: Tensor, source: Tensor) -> Tensor:
        """Displacement [B, 2, 3] of a plane behind the ears, by the skull's similarity of space."""
        scale, rotation, shift = similarity(driving[:, self.rigid], source[:, self.rigid])
        turn = scale[:, None, None] * rotation
        ears = driving[:, _EARS, 2].mean(dim=1)
        depth = ears + 0.4 * (driving[:, MESH.chin, :2] - driving[:, MESH.forehead, :2]).norm(dim=1)
        offset = turn[:, :2, 2] * depth[:, None] + shift[:, :2]
        return torch.cat([turn[:, :2, :2] - torch.eye(2, device=turn.device), offset[..., None]], dim=-1)

    def _logits(self, points: Tensor, coverage: Tensor) -> Tensor:
        height, width = coverage.shape[2:]
        centre = points.mean(dim=1, keepdim=True)
        radius = (points - centre).norm(dim=-1).mean(dim=1)[:, None, None, None]
        squares = _squared_distances(torch.cat([centre, points], dim=1), height, width)
        r = squares[:, :1].sqrt() / radius
        background = _BACKGROUND_SLOPE * (r - _BACKGROUND_FROM)
        background = background.clamp(-_BACKGROUND_MOST, _BACKGROUND_MOST)
        own = squares[:, 1:] / -_POINT_REACH
        skin = _SKIN_OFF + (_SKIN_ON - _SKIN_OFF) * coverage
        constant = torch.ones_like(background)
        return torch.cat([background, _HEAD * constant, _BACK * constant, own, skin], dim=1)


def _squared_distances(points: Tensor, height: int, width: int) -> Tensor:
    """From every pixel to every point [B, K, 2]: [B, K, H, W], as |p|^2 - 2 p.z + |z|^2 (one product of matrices)."""
    grid = identity_grid(height, width, points).view(-1, 2)
    cross = torch.baddbmm(
        (grid**2).sum(-1).expand(len(points), 1, -1), points, grid.T.expand(len(points), -1, -1), alpha=-2
    )
    return (cross + (points**2).sum(-1, keepdim=True)).clamp_min(0).view(*points.shape[:2], height, width)


def affine_head(driving: Tensor, source: Tensor) -> Tensor:
    """Least-squares affine map [B, 2, 3] that carries points ``driving`` [B, N, 2] to ``source`` [B, N, 2]."""
    centre, target = driving.mean(dim=1, keepdim=True), source.mean(dim=1, keepdim=True)
    x, y = driving - centre, source - target
    gram = x.transpose(1, 2) @ x
    gram = gram + 1e-4 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(2, device=x.device)
    linear = torch.linalg.solve(gram, x.transpose(1, 2) @ y).transpose(1, 2)
    offset = target - centre @ linear.transpose(1, 2)
    return torch.cat([linear, offset.transpose(1, 2)], dim=2)


def similarity(driving: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale [B], rotation [B, 3, 3] and shift [B, 3] that carry points [B, N, 3] (Umeyama 1991, equations 40-42)."""
    centre, target = driving.mean(dim=1), source.mean(dim=1)
    x, y = driving - centre[:, None], source - target[:, None]
    u, d, v = torch.linalg.svd(y.transpose(1, 2) @ x)
    sign = torch.ones_like(d)
    sign[:, 2] = torch.linalg.det(u @ v).sign()
    rotation = (u * sign[:, None]) @ v
    scale = (d * sign).sum(1) / (x**2).sum((1, 2)).clamp_min(1e-9)
    return scale, rotation, target - scale[:, None] * (rotation @ centre[..., None])[..., 0]
