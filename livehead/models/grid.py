"""Sampling grids: the one module that decides a network's coordinates.

Flows are *displacements* [B, H, W, 2] (x, y) in units of ``livehead.motion.keypoints``: the picture spans [-1, 1] from
edge to edge, the centre of pixel ``i`` of ``n`` is ``(2 i + 1) / n - 1`` and ``align_corners`` is False. Flows point
backwards: the output at ``z`` is the input at ``z + flow(z)``. Displacements can be resized freely, and no motion is
exactly zero at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def disable_autocast(like: Tensor) -> torch.autocast:
    """A context in which autocast is off, for the device of ``like``: positions in half precision are off by pixels."""
    return torch.autocast(like.device.type, enabled=False)


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel centres [1, H, W, 2] (x, y), float32 on the device of ``like``.

    The tensor is cached and shared by all callers, so it must not be changed.
    """
    return _identity_grid(height, width, like.device)


@lru_cache(maxsize=16)
def _identity_grid(height: int, width: int, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):  # else a grid first made for inference could not be trained with
        x = (2 * torch.arange(width, device=device, dtype=torch.float32) + 1) / width - 1
        y = (2 * torch.arange(height, device=device, dtype=torch.float32) + 1) / height - 1
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].contiguous()


def corner_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel centres [1, H, W, 2] (x, y) with those of the first and last pixels at -1 and 1.

    Only the published networks use this grid: they were trained with it, although they sample as if the picture's
    edges were at -1 and 1 (``align_corners=False``).
    """
    x = torch.linspace(-1, 1, width, device=like.device)
    y = torch.linspace(-1, 1, height, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resize displacements [B, h, w, 2]: bilinearly to a larger size, by the mean of each cell to a smaller one."""
    if flow.shape[1:3] == (height, width):
        return flow
    planes = flow.movedim(-1, 1).contiguous()
    if height < flow.shape[1]:
        resized = F.adaptive_avg_pool2d(planes, (height, width))
    else:
        resized = F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return resized.movedim(1, -1)


def resize_bilinear(planes: Tensor, size: Sequence[int]) -> Tensor:
    """Resize planes [B, C, h, w] bilinearly to ``size`` (height, width), edges to edges, as published networks do."""
    if planes.shape[2:] == tuple(size):
        return planes
    return F.interpolate(planes, tuple(size), mode="bilinear", align_corners=False)


def resize_sampling_grid(sampling_grid: Tensor, height: int, width: int) -> Tensor:
    """Resize absolute positions [B, h, w, 2] bilinearly, edges to edges, as the published networks do."""
    return resize_bilinear(sampling_grid.movedim(-1, 1), (height, width)).movedim(1, -1)


PaddingMode = Literal["border", "zeros"]
"""What is sampled beyond a picture: its border, repeated, or zeros."""


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Warp features [B, C, H, W] backwards along ``flow`` [B, H', W', 2]; beyond the border, the border repeats.

    Positions are float32 whatever the features' type: half precision has too few digits for a pixel's place.
    """
    height, width = flow.shape[1:3]
    return sample_features(features, identity_grid(height, width, flow) + flow.float(), "border")


def sample_features(features: Tensor, sampling_grid: Tensor, padding: PaddingMode) -> Tensor:
    """Sample features [B, C, H, W] bilinearly at the absolute positions ``sampling_grid`` [B, H', W', 2] float32.

    [-1, 1] spans the picture from edge to edge.
    """
    if not torch.is_grad_enabled() and features.device.type == "cpu" and features.shape[1] >= _MIN_GATHER_CHANNELS:
        return _sample_by_gathering(features, sampling_grid, padding)
    sampled = F.grid_sample(features.float(), sampling_grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return sampled.to(features.dtype)


def sample_align_corners(features: Tensor, locations: Tensor) -> Tensor:
    """Sample features [B, C, H, W] at single ``locations`` [B, N, 2] float32: [B, N, C], zeros outside.

    Here the first and last pixels' centres are at -1 and 1 (``align_corners=True``), as PIFuHD was trained.
    """
    if torch.is_grad_enabled() or features.device.type != "cpu":
        sampled = F.grid_sample(features, locations[:, None], mode="bilinear", padding_mode="zeros", align_corners=True)
        return sampled[:, :, 0].transpose(1, 2)
    height, width = features.shape[2:]
    x, y = (locations[..., 0] + 1) * ((width - 1) / 2), (locations[..., 1] + 1) * ((height - 1) / 2)
    return _sum_weighted_pixels(features, *_zero_padded_corners(x, y, height, width))


def warp_pixels(features: Tensor, flow: Tensor) -> Tensor:
    """Warp features [B, C, H, W] float32 backwards along ``flow`` [B, 2 G, H, W] in pixels; the border repeats.

    Group ``g`` of the flow's planes (dx, dy) moves the g-th of G equal shares of the channels. CoNR's convention: a
    pixel's position is its index, so that the first and last pixels' centres are the ends of [-1, 1].
    """
    batch, channels, height, width = features.shape
    groups = flow.shape[1] // 2
    numbers, scale = _pixel_grid_and_scale(height, width, flow.device)
    corners = (flow.reshape(batch * groups, 2, height, width) + numbers) * scale - 1
    shares = features.reshape(batch * groups, channels // groups, height, width)
    sampling_grid = corners.permute(0, 2, 3, 1)  # not made contiguous: sampling is no faster for it
    sampled = F.grid_sample(shares, sampling_grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.reshape(features.shape)


@lru_cache(maxsize=16)
def _pixel_grid_and_scale(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Every pixel's position (x, y) by its index [2, H, W], and the scale [2, 1, 1] from such positions to [0, 2]."""
    with torch.inference_mode(mode=False):
        x, y = (torch.arange(count, device=device, dtype=torch.float32) for count in (width, height))
        scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], device=device)
        return torch.stack(torch.meshgrid(x, y, indexing="xy")).contiguous(), scale[:, None, None]


_MIN_GATHER_CHANNELS = 8  # with fewer channels, grid_sample is faster


def _sample_by_gathering(features: Tensor, sampling_grid: Tensor, padding: PaddingMode) -> Tensor:
    """Sample as ``grid_sample`` does, by weighted sums of four rows of channels-last memory.

    On a CPU this is an order of magnitude faster, in half precision too; gradients are not supported.
    """
    batch, channels, height, width = features.shape
    rows, columns = sampling_grid.shape[1:3]
    position = sampling_grid.reshape(batch, -1, 2)
    x, y = ((position[..., 0] + 1) * width - 1) / 2, ((position[..., 1] + 1) * height - 1) / 2
    if padding == "zeros":
        index, weights = _zero_padded_corners(x, y, height, width)
    else:
        index, weights = _bilinear_corners(x.clamp(0, width - 1), y.clamp(0, height - 1), height, width)
    sampled = _sum_weighted_pixels(features, index, weights)
    return sampled.view(batch, rows, columns, channels).permute(0, 3, 1, 2)


def _sum_weighted_pixels(features: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums [B, N, C] of four pixels each of features [B, C, H, W]; ``index`` and ``weights`` are [B, N, 4]."""
    batch, channels, height, width = features.shape
    index = index + (torch.arange(batch, device=features.device) * (height * width))[:, None, None]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    weights = weights.to(features.dtype)
    sampled = F.embedding_bag(index.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    return sampled.view(batch, -1, channels)


def _bilinear_corners(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Index and bilinear weight [B, N, 4] of the four pixels around positions inside a picture (index: row-major)."""
    left, top = x.floor().clamp_max(max(width - 2, 0)), y.floor().clamp_max(max(height - 2, 0))
    u, v = x - left, y - top
    first = top.long() * width + left.long()
    right, below = (1 if width > 1 else 0), (width if height > 1 else 0)
    index = torch.stack([first, first + right, first + below, first + below + right], dim=-1)
    return index, torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], dim=-1)


def _zero_padded_corners(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Do as ``_bilinear_corners``, for positions anywhere: pixels outside the picture have weight zero."""
    x, y = x.clamp(-2, width + 1), y.clamp(-2, height + 1)  # far outside is outside too, and this fits an integer
    left, top = x.floor(), y.floor()
    u, v = x - left, y - top
    columns = torch.stack([left, left + 1, left, left + 1], dim=-1)
    lines = torch.stack([top, top, top + 1, top + 1], dim=-1)
    inside = (columns >= 0) & (columns < width) & (lines >= 0) & (lines < height)
    shares = torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], dim=-1)
    index = lines.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()
    return index, torch.where(inside, shares, 0.0)
