"""Losses and figures of a generated picture beside the true one, and the masks that weigh them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.models.grid import identity_grid
from livehead.motion.face.mesh import FACE_MESH


def part_box(points: Tensor, indices: Tensor, scale: float) -> Tensor:
    """Boxes [B, 4] (left, top, right, bottom) about points ``indices`` of meshes [B, 478, 3], grown by ``scale``."""
    chosen = points[:, indices, :2]
    low, high = chosen.amin(dim=1), chosen.amax(dim=1)
    middle, half = (low + high) / 2, (high - low) / 2 * scale
    return torch.cat([middle - half, middle + half], dim=1)


def box_mask(boxes: Tensor, side: int) -> Tensor:
    """A mask [B, 1, side, side] that is 1 inside boxes [B, 4] in [-1, 1] and 0 outside."""
    x, y = identity_grid(side, side, boxes).unbind(dim=-1)
    left, top, right, bottom = boxes[:, :, None, None].unbind(dim=1)
    return ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).float()[:, None]


def mouth_mask(points: Tensor, side: int) -> Tensor:
    """A mask [B, 1, side, side] of the mouth's box, enlarged 1.3, of meshes [B, 478, 3]."""
    return box_mask(part_box(points, torch.as_tensor(FACE_MESH.mouth.lips.copy()).long(), 1.3), side)


def importance_weights(points: Tensor, side: int, mouth: float, eyes: float) -> Tensor:
    """Weights of pixels [B, 1, side, side]: ``mouth`` and ``eyes`` in the boxes of these parts, 1 elsewhere."""
    weight = 1 + (mouth - 1) * mouth_mask(points, side)
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        box = part_box(points, torch.as_tensor(eye.opening.copy()).long(), 1.6)
        weight = torch.maximum(weight, 1 + (eyes - 1) * box_mask(box, side))
    return weight


def weighted_l1(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The mean of ``weight`` times the absolute difference."""
    return ((output - target).abs() * weight).mean()


def gradient_l1(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The mean weighted difference of neighbouring pixels' differences, across and down: edges in their places."""
    error = output - target
    across = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]
    return across.mean() + down.mean()


def pyramid_loss(output: Tensor, target: Tensor, weight: Tensor, levels: int, edges: float) -> Tensor:
    """Weighted L1 at ``levels`` sizes, each half the last, and ``edges`` times the gradients' at the first two."""
    total = output.new_zeros(())
    for level in range(levels):
        total = total + weighted_l1(output, target, weight)
        if level < 2:
            total = total + edges * gradient_l1(output, target, weight)
        output, target, weight = (F.avg_pool2d(x, 2) for x in (output, target, weight))
    return total / levels


def texture_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The difference of the edges' energy in patches of 4 x 4, at two sizes: how sharp, wherever exactly.

    A blurred guess is the safe answer to L1; here it is as wrong as a texture that is not there.
    """
    total = output.new_zeros(())
    for _ in range(2):
        energies = [F.avg_pool2d(_edge_energy(picture), 4) for picture in (output, target)]
        total = total + weighted_l1(energies[0], energies[1], F.avg_pool2d(weight, 4))
        output, target, weight = (F.avg_pool2d(x, 2) for x in (output, target, weight))
    return total / 2


def _edge_energy(picture: Tensor) -> Tensor:
    """The sum of absolute differences to the right and downwards, of the picture's size."""
    across = F.pad((picture[..., 1:] - picture[..., :-1]).abs(), (0, 1))
    down = F.pad((picture[..., 1:, :] - picture[..., :-1, :]).abs(), (0, 0, 0, 1))
    return across + down


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB per picture [B], of the mean squared error, for pictures in [0, 1]."""
    return -10 * torch.log10(((output - target) ** 2).mean(dim=(1, 2, 3)).clamp_min(1e-10))
