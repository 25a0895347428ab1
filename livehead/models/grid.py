"""Sampling grids: the one place where a network's coordinates are decided.

Flows are *displacements* [B, H, W, 2] (x, y) in units of ``livehead.motion.keypoints``: the picture spans [-1, 1] from
edge to edge, the centre of pixel ``i`` of ``n`` is ``(2 i + 1) / n - 1`` and ``align_corners`` is False. They point
backwards: the output at ``z`` is the input at ``z + flow(z)``. As displacements they can be resized freely, and no
motion is exactly zero at every size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def disable_autocast(like: Tensor) -> torch.autocast:
    """A context without autocast: positions in half precision are off by pixels."""
    return torch.autocast(like.device.type, enabled=False)


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel centres [1, H, W, 2] (x, y), float32 on the device of ``like``; shared, so never to be changed."""
    return _identity_grid(height, width, like.device)


@lru_cache(maxsize=16)
def _identity_grid(height: int, width: int, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):  # else a grid first made for inference could not be trained with
        x = (2 * torch.arange(width, device=device, dtype=torch.float32) + 1) / width - 1
        y = (2 * torch.arange(height, device=device, dtype=torch.float32) + 1) / height - 1
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].contiguous()


def corner_grid(height: int, width: int, like: Tensor) -> Tensor:
    """[1, H, W, 2] (x, y) with the first and last pixels' centres at -1 and 1: only the published networks use it.

    They were trained with it, though they sample as if the picture's edges were there (``align_corners=False``).
    """
    x = torch.linspace(-1, 1, width, device=like.device)
    y = torch.linspace(-1, 1, height, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Displacements [B, h, w, 2] at another size: bilinear upwards, the mean of each cell downwards."""
    if flow.shape[1:3] == (height, width):
        return flow
    planes = flow.movedim(-1, 1).contiguous()
    if height < flow.shape[1]:
        resized = F.adaptive_avg_pool2d(planes, (height, width))
    else:
        resized = F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return resized.movedim(1, -1)


def resize_sampling_grid(sampling_grid: Tensor, height: int, width: int) -> Tensor:
    """Absolute places [B, h, w, 2] at another size as the published networks resize them: bilinear, edges to edges."""
    if sampling_grid.shape[1:3] == (height, width):
        return sampling_grid
    planes = F.interpolate(sampling_grid.movedim(-1, 1), (height, width), mode="bilinear", align_corners=False)
    return planes.movedim(1, -1)


PaddingMode = Literal["border", "zeros"]
"""What lies beyond a picture: its border, repeated, or nothing."""


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Features [B, C, H, W] looked up backwards along ``flow`` [B, H', W', 2]; beyond the border the border repeats.

    Positions are float32 whatever the features' type: half precision has too few digits for a pixel's place.
    """
    height, width = flow.shape[1:3]
    return sample_features(features, identity_grid(height, width, flow) + flow.float(), "border")


def sample_features(features: Tensor, sampling_grid: Tensor, padding: PaddingMode) -> Tensor:
    """Features [B, C, H, W] at absolute ``places`` [B, H', W', 2] float32; [-1, 1] spans the picture edge to edge."""
    if not torch.is_grad_enabled() and features.device.type == "cpu" and features.shape[1] >= _MIN_GATHER_CHANNELS:
        return _sample_by_gathering(features, sampling_grid, padding)
    sampled = F.grid_sample(features.float(), sampling_grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return sampled.to(features.dtype)


def sample_align_corners(features: Tensor, locations: Tensor) -> Tensor:
    """Features [B, C, H, W] at single ``places`` [B, N, 2] float32: [B, N, C]; zeros outside.

    Here the first and last pixels' centres are at -1 and 1 (``align_corners=True``): so PIFuHD was trained.
    """
    if torch.is_grad_enabled() or features.device.type != "cpu":
        seen = F.grid_sample(features, locations[:, None], mode="bilinear", padding_mode="zeros", align_corners=True)
        return seen[:, :, 0].transpose(1, 2)
    height, width = features.shape[2:]
    x, y = (locations[..., 0] + 1) * ((width - 1) / 2), (locations[..., 1] + 1) * ((height - 1) / 2)
    return _sum_weighted_pixels(features, *_zero_padded_corners(x, y, height, width))


def warp_pixels(features: Tensor, flow: Tensor) -> Tensor:
    """Features [B, C, H, W] float32 looked up backwards along ``flow`` [B, 2 G, H, W] in pixels; beyond the border it
    repeats.

    Group ``g`` of the flow's planes (dx, dy) moves the g-th of G equal shares of the channels. CoNR's convention: a
    pixel's place is its number, so that the first and last pixels' centres are the ends of its [-1, 1].
    """
    batch, channels, height, width = features.shape
    groups = flow.shape[1] // 2
    numbers, scale = _pixel_grid_and_scale(height, width, flow.device)
    corners = (flow.reshape(batch * groups, 2, height, width) + numbers) * scale - 1
    shares = features.reshape(batch * groups, channels // groups, height, width)
    places = corners.permute(0, 2, 3, 1)  # it is sampled as quickly plane by plane
    sampled = F.grid_sample(shares, places, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.reshape(features.shape)


@lru_cache(maxsize=16)
def _pixel_grid_and_scale(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Every pixel's place (x, y) by its number [2, H, W], and what makes [0, 2] of such places [2, 1, 1]."""
    with torch.inference_mode(mode=False):
        x, y = (torch.arange(count, device=device, dtype=torch.float32) for count in (width, height))
        scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], device=device)
        return torch.stack(torch.meshgrid(x, y, indexing="xy")).contiguous(), scale[:, None, None]


_MIN_GATHER_CHANNELS = 8  # channels


def _sample_by_gathering(features: Tensor, places: Tensor, padding: PaddingMode) -> Tensor:
    """As ``grid_sample``, by weighted sums of four rows of channels-last memory.

    A CPU does that an order of magnitude faster, in half precision too; it has no use for gradients.
    """
    batch, channels, height, width = features.shape
    rows, columns = places.shape[1:3]
    place = places.reshape(batch, -1, 2)
    x, y = ((place[..., 0] + 1) * width - 1) / 2, ((place[..., 1] + 1) * height - 1) / 2
    if padding == "zeros":
        index, weights = _zero_padded_corners(x, y, height, width)
    else:
        index, weights = _bilinear_corners(x.clamp(0, width - 1), y.clamp(0, height - 1), height, width)
    sampled = _sum_weighted_pixels(features, index, weights)
    return sampled.view(batch, rows, columns, channels).permute(0, 3, 1, 2)


def _sum_weighted_pixels(features: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Of four pixels each of [B, C, H, W], by number and share [B, N, 4]: [B, N, C]."""
    batch, channels, height, width = features.shape
    index = index + (torch.arange(batch, device=features.device) * (height * width))[:, None, None]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    weights = weights.to(features.dtype)
    sampled = F.embedding_bag(index.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    return sampled.view(batch, -1, channels)


def _bilinear_corners(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four pixels about places inside a picture, [B, N, 4] as numbers of the picture's rows, and their shares."""
    left, top = x.floor().clamp_max(max(width - 2, 0)), y.floor().clamp_max(max(height - 2, 0))
    u, v = x - left, y - top
    first = top.long() * width + left.long()
    right, below = (1 if width > 1 else 0), (width if height > 1 else 0)
    index = torch.stack([first, first + right, first + below, first + below + right], dim=-1)
    return index, torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], dim=-1)


def _zero_padded_corners(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """As ``_corners`` for places anywhere; pixels outside the picture have no share."""
    x, y = x.clamp(-2, width + 1), y.clamp(-2, height + 1)  # far outside is outside, and small enough for an integer
    left, top = x.floor(), y.floor()
    u, v = x - left, y - top
    columns = torch.stack([left, left + 1, left, left + 1], dim=-1)
    lines = torch.stack([top, top, top + 1, top + 1], dim=-1)
    inside = (columns >= 0) & (columns < width) & (lines >= 0) & (lines < height)
    shares = torch.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], dim=-1)
    index = lines.clamp(0, height - 1).long() * width + columns.clamp(0, width - 1).long()
    return index, torch.where(inside, shares, 0.0)
