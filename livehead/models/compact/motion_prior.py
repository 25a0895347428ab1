"""A prior of a head's motion from two meshes, without learning: candidate motions and the logits of each.

Candidates, in this order: no motion (the background), the head's affine map, the back of the head (the same turn at
another depth), 25 key points' own motions, the torso's affine map, and last the skin's own flow as the surface gives
it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from livehead.models.dagan.dense_motion import keypoint_displacements
from livehead.models.grid import disable_autocast, identity_grid
from livehead.motion.face.mesh import FACE_MESH

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

CANDIDATE_COUNT = 3 + len(KEYPOINTS) + 2
TORSO_CANDIDATE = CANDIDATE_COUNT - 2
"""The torso's index among the candidates."""

_EARS = (234, 454)
_BACKGROUND_RADIUS, _BACKGROUND_SLOPE, _BACKGROUND_MAX_LOGIT = 1.7, 6.0, 8.0
_HEAD_LOGIT, _BACK_OF_HEAD_LOGIT, _POINT_REACH = -1.5, -4.0, 0.024
_COVERED_SKIN_LOGIT, _UNCOVERED_SKIN_LOGIT = 6.0, -12.0
_TORSO_BELOW_CHIN_LOGIT, _TORSO_ABOVE_CHIN_LOGIT = -4.0, -15.0  # below the chin, above it
_TORSO_TRANSITION_RADII = 0.8  # radii of the face, below the chin, over which the one becomes the other
_UNKNOWN_TORSO_LOGIT = -30.0


class TorsoMotion(NamedTuple):
    """Points of the torso [B, 3, 2] (``livehead.motion.face.torso``) in both pictures; ``known`` [B]: 0 where unknown.

    The points of unknown torsos may be any finite numbers.
    """

    driving: Tensor
    source: Tensor
    known: Tensor

    @classmethod
    def unknown(cls, like: Tensor) -> TorsoMotion:
        """Unknown torsos for a batch as large as that of ``like`` [B, ...]."""
        points = like.new_zeros(len(like), 3, 2, dtype=torch.float32)
        return cls(points, points, points[:, 0, 0])


class MotionPrior(NamedTuple):
    """The prior: ``displacements`` [B, K - 1, 2, 3] of all candidates but the skin, and ``logits`` [B, K, H, W]."""

    displacements: Tensor
    logits: Tensor


class HeadMotionPrior(nn.Module):
    """Computes candidates and their logits from meshes. It has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.points: Tensor
        self.rigid: Tensor
        self.register_buffer("points", torch.tensor(KEYPOINTS), persistent=False)
        self.register_buffer("rigid", torch.as_tensor(np.array(FACE_MESH.rigid), dtype=torch.int64), persistent=False)

    @torch.no_grad()
    def forward(self, driving: Tensor, source: Tensor, coverage: Tensor, torso: TorsoMotion) -> MotionPrior:
        """The prior for two meshes [B, 478, 3], the visible skin ``coverage`` [B, 1, H, W] and the torso's motion."""
        with disable_autocast(coverage):
            return self._compute_prior(driving.float(), source.float(), coverage, torso)

    def _compute_prior(self, driving: Tensor, source: Tensor, coverage: Tensor, torso: TorsoMotion) -> MotionPrior:
        affine = fit_affine(driving[:, self.rigid, :2], source[:, self.rigid, :2])
        d, s = driving[:, self.points, :2], source[:, self.points, :2]
        own = keypoint_displacements(d, s, affine[:, None, :, :2].expand(-1, d.shape[1], -1, -1))
        head = torch.cat([affine[:, :, :2] - torch.eye(2, device=d.device), affine[:, :, 2:]], dim=-1)
        back = self._back_of_head_displacement(driving, source)
        still = torch.zeros_like(head)
        below = torso_displacement(torso)
        displacements = torch.cat([still[:, None], head[:, None], back[:, None], own, below[:, None]], dim=1)
        rows = _distance_below_chins(driving[:, FACE_MESH.chin, 1], source[:, FACE_MESH.chin, 1], below, coverage)
        return MotionPrior(displacements, self._candidate_logits(d, coverage, rows, torso.known))

    def _back_of_head_displacement(self, driving: Tensor, source: Tensor) -> Tensor:
        """Displacement [B, 2, 3] of a plane behind the ears, by the skull's similarity of space."""
        scale, rotation, shift = fit_similarity(driving[:, self.rigid], source[:, self.rigid])
        turn = scale[:, None, None] * rotation
        ears = driving[:, _EARS, 2].mean(dim=1)
        depth = ears + 0.4 * (driving[:, FACE_MESH.chin, :2] - driving[:, FACE_MESH.forehead, :2]).norm(dim=1)
        offset = turn[:, :2, 2] * depth[:, None] + shift[:, :2]
        return torch.cat([turn[:, :2, :2] - torch.eye(2, device=turn.device), offset[..., None]], dim=-1)

    def _candidate_logits(self, points: Tensor, coverage: Tensor, rows: Tensor, known: Tensor) -> Tensor:
        height, width = coverage.shape[2:]
        centre = points.mean(dim=1, keepdim=True)
        radius = (points - centre).norm(dim=-1).mean(dim=1)[:, None, None, None]
        squares = _squared_distances(torch.cat([centre, points], dim=1), height, width)
        r = squares[:, :1].sqrt() / radius
        background = _BACKGROUND_SLOPE * (r - _BACKGROUND_RADIUS)
        background = background.clamp(-_BACKGROUND_MAX_LOGIT, _BACKGROUND_MAX_LOGIT)
        own = squares[:, 1:] / -_POINT_REACH
        skin = _UNCOVERED_SKIN_LOGIT + (_COVERED_SKIN_LOGIT - _UNCOVERED_SKIN_LOGIT) * coverage
        constant = torch.ones_like(background)
        torso = _TORSO_ABOVE_CHIN_LOGIT + (_TORSO_BELOW_CHIN_LOGIT - _TORSO_ABOVE_CHIN_LOGIT) * (
            rows / (_TORSO_TRANSITION_RADII * radius)
        ).clamp(0, 1)
        torso = torch.where(known[:, None, None, None] > 0, torso, _UNKNOWN_TORSO_LOGIT)
        return torch.cat([background, _HEAD_LOGIT * constant, _BACK_OF_HEAD_LOGIT * constant, own, torso, skin], dim=1)


def _distance_below_chins(driving: Tensor, source: Tensor, torso: Tensor, like: Tensor) -> Tensor:
    """How far [B, 1, H, W] a pixel lies below the driving chin, or what the torso's map shows there below the source's.

    The lesser of the two: under a chin that rose, the same place of the photo may still be its jaw.
    """
    height, width = like.shape[2:]
    grid = identity_grid(height, width, like)
    here = grid[..., 1] - driving[:, None, None]
    ones = torch.ones_like(grid[..., :1])
    shift = torch.einsum("bi,nhwi->bhw", torso[:, 1], torch.cat([grid, ones], dim=-1))
    there = grid[..., 1] + shift - source[:, None, None]
    return torch.minimum(here, there)[:, None]


def _squared_distances(points: Tensor, height: int, width: int) -> Tensor:
    """Squared distances [B, K, H, W] of pixels to points [B, K, 2], as |p|^2 - 2 p.z + |z|^2 (one matrix product)."""
    grid = identity_grid(height, width, points).view(-1, 2)
    cross = torch.baddbmm(
        (grid**2).sum(-1).expand(len(points), 1, -1), points, grid.T.expand(len(points), -1, -1), alpha=-2
    )
    return (cross + (points**2).sum(-1, keepdim=True)).clamp_min(0).view(*points.shape[:2], height, width)


def torso_displacement(torso: TorsoMotion) -> Tensor:
    """Displacement [B, 2, 3] of the affine map from driving to source points; zero where the torso is unknown."""
    known = torso.known[:, None, None] > 0
    placed = torso.driving.new_tensor([[0.0, 0.0], [-1.0, 1.0], [1.0, 1.0]])  # three points that are a plane's
    driving, source = (torch.where(known, points.float(), placed) for points in (torso.driving, torso.source))
    ones = torch.ones_like(driving[..., :1])
    solved: Tensor = torch.linalg.solve(torch.cat([driving, ones], dim=-1), source - driving)
    return solved.transpose(1, 2)


def fit_affine(driving: Tensor, source: Tensor) -> Tensor:
    """The least-squares affine map [B, 2, 3] from points ``driving`` [B, N, 2] to ``source`` [B, N, 2]."""
    centre, target = driving.mean(dim=1, keepdim=True), source.mean(dim=1, keepdim=True)
    x, y = driving - centre, source - target
    gram = x.transpose(1, 2) @ x
    gram = gram + 1e-4 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(2, device=x.device)
    linear = torch.linalg.solve(gram, x.transpose(1, 2) @ y).transpose(1, 2)
    offset = target - centre @ linear.transpose(1, 2)
    return torch.cat([linear, offset.transpose(1, 2)], dim=2)


def fit_similarity(driving: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale [B], rotation [B, 3, 3] and shift [B, 3] between points [B, N, 3] (Umeyama 1991, equations 40-42)."""
    centre, target = driving.mean(dim=1), source.mean(dim=1)
    x, y = driving - centre[:, None], source - target[:, None]
    u, d, v = torch.linalg.svd(y.transpose(1, 2) @ x)
    sign = torch.ones_like(d)
    sign[:, 2] = torch.linalg.det(u @ v).sign()
    rotation = (u * sign[:, None]) @ v
    scale = (d * sign).sum(1) / (x**2).sum((1, 2)).clamp_min(1e-9)
    return scale, rotation, target - scale[:, None] * (rotation @ centre[..., None])[..., 0]
