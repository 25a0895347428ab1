"""From two sets of learned key points to a flow (DaGAN, section 3.3; FOMM, equations 4 to 8).

Every point has a candidate affine motion around itself; a downscaled source is warped by each; and ``DenseMotion``
weighs all of them for every pixel. Grids are those of the published networks: pixel centres from ``grid.corner_grid``,
sampled as if the picture's edges were at -1 and 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.dagan.dense_motion import (
    DenseMotion,
    blend_candidates,
    bounded_inverse,
    gaussian_heat_maps,
    keypoint_displacements,
)
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.models.grid import corner_grid, disable_autocast, sample_features


class KeypointMotionField(NamedTuple):
    """Where in the source each pixel comes from: ``sampling_grid`` [B, h, w, 2]; with ``mask`` [B, K + 1, h, w] and
    ``occlusion`` [B, 1, h, w].

    Occlusion is 1 where the source shows what is needed and 0 where it has to be invented.
    """

    sampling_grid: Tensor
    mask: Tensor
    occlusion: Tensor


class CandidateMotions(NamedTuple):
    """The candidates: ``heat`` [B, K + 1, h, w] and the source ``warped`` by each motion [B, K + 1, 3, h, w], with no
    motion first; ``displacements`` [B, K, 2, 3] of the others."""

    heat: Tensor
    warped: Tensor
    displacements: Tensor


class KeypointMotion(nn.Module):
    """Predicts the motion field by ``dense``, whose hourglass takes 4 planes for each of K + 1 candidates."""

    def __init__(self, dense: DenseMotion) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, downscaled: Tensor, source: LearnedKeypoints, driving: LearnedKeypoints) -> KeypointMotionField:
        """The motion field of ``downscaled`` [B, 3, h, w], the source RGB in [0, 1] at a quarter of its size."""
        candidates = self.compute_candidates(downscaled, source, driving)
        heat, warped, displacements = candidates
        masks = self.dense(torch.cat([heat[:, :, None], warped], dim=2).flatten(1, 2))
        height, width = downscaled.shape[2:]
        grid = corner_grid(height, width, downscaled)
        sampling_grid = grid + blend_candidates(masks.mask[:, 1:], displacements, grid)
        return KeypointMotionField(sampling_grid, masks.mask, masks.occlusion)

    def compute_candidates(
        self, downscaled: Tensor, source: LearnedKeypoints, driving: LearnedKeypoints
    ) -> CandidateMotions:
        """The candidates that the network weighs, in float32 whatever the network's precision."""
        with disable_autocast(downscaled):
            downscaled = downscaled.float()
            batch, _, height, width = downscaled.shape
            grid = corner_grid(height, width, downscaled)
            jacobian = source.jacobian @ bounded_inverse(driving.jacobian)
            displacements = keypoint_displacements(driving.value, source.value, jacobian)
            heat = gaussian_heat_maps(driving.value, grid) - gaussian_heat_maps(source.value, grid)
            heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)
            moved = torch.einsum("bkij,hwj->bkhwi", displacements[..., :2], grid[0])
            moved = moved + displacements[:, :, None, None, :, 2] + grid[:, None]
            sampling_grids = torch.cat([grid[:, None].expand(batch, -1, -1, -1, -1), moved], dim=1)
            warped = sample_features(downscaled, sampling_grids.flatten(1, 2), "zeros")
            warped = torch.unflatten(warped, 2, (-1, height)).transpose(1, 2)
        return CandidateMotions(heat, warped, displacements)
