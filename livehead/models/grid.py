"""Sampling grids: the one place where a network's coordinates are decided.

Flows are *displacements* [B, H, W, 2] (x, y) in units of ``livehead.motion.keypoints``: the picture spans [-1, 1] from
edge to edge, the centre of pixel ``i`` of ``n`` is ``(2 i + 1) / n - 1`` and ``align_corners`` is False. They point
backwards: the output at ``z`` is the input at ``z + flow(z)``. As displacements they can be resized freely, and no motion
is exactly zero at every size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def exact(like: Tensor) -> torch.autocast:
    """A context without autocast: positions in half precision are off by pixels."""
    return torch.autocast(like.device.type, enabled=False)


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel centres [1, H, W, 2] (x, y), float32 on the device of ``like``."""
    x = (2 * torch.arange(width, device=like.device, dtype=torch.float32) + 1) / width - 1
    y = (2 * torch.arange(height, device=like.device, dtype=torch.float32) + 1) / height - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Displacements [B, h, w, 2] at another size: bilinear upwards, the mean of each cell downwards."""
    if flow.shape[1:3] == (height, width):
        return flow
    planes = flow.movedim(-1, 1)
    if height < flow.shape[1]:
        resized = F.adaptive_avg_pool2d(planes, (height, width))
    else:
        resized = F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return resized.movedim(1, -1)


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Features [B, C, H, W] looked up backwards along ``flow`` [B, H', W', 2]; beyond the border the border repeats.

    Sampled in float32 whatever the features' type: half precision has three digits, fewer than a pixel's position needs.
    """
    height, width = flow.shape[1:3]
    grid = identity_grid(height, width, flow) + flow.float()
    sampled = F.grid_sample(features.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.to(features.dtype)


def gather_warp(table: Tensor, height: int, width: int, flow: Tensor) -> Tensor:
    """As ``warp`` for one picture whose features are given as rows, channels last: ``table`` [height * width, C].

    A look-up of four weighted rows a pixel, which a CPU does an order of magnitude faster than ``grid_sample``, in half
    precision too; it has no use for gradients. Returns [1, C, H', W'] in channels-last memory.
    """
    rows, columns = flow.shape[1:3]
    x = (identity_grid(rows, columns, flow) + flow.float()).reshape(-1, 2)
    size = x.new_tensor([width, height])
    x = ((x + 1) * size - 1) / 2
    x = torch.minimum(x.clamp_min(0), size - 1)
    low = torch.minimum(x.floor(), (size - 2).clamp_min(0))
    part = x - low
    first = low[:, 1].long() * width + low[:, 0].long()
    right = 1 if width > 1 else 0
    below = width if height > 1 else 0
    index = torch.stack([first, first + right, first + below, first + below + right], dim=1)
    u, v = part[:, 0], part[:, 1]
    weights = torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], dim=1).to(table.dtype)
    sampled = F.embedding_bag(index, table, per_sample_weights=weights, mode="sum")
    return sampled.view(1, rows, columns, -1).permute(0, 3, 1, 2)
