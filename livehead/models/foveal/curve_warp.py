"""Warping of one patch of a mouth or an eye into another shape, lip to lip and lid to lid.

Along a column the six bands between the patch's upper edge, the four curves and its lower edge are stretched
one by one; along a row the three bands between the left edge, the two corners and the right edge.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_MIN_BAND = 0.25  # pixels: a closed mouth has an inside of no height


class PatchShape(NamedTuple):
    """The shape of parts in patches, batched: ``curves`` [B, 4, W], ``corners`` [B, 2] and ``pupil`` [B, 2] in pixels,
    ``state`` [B, 3] as in ``PatchFrame``."""

    curves: Tensor
    corners: Tensor
    pupil: Tensor
    state: Tensor


def band_coordinate(shape: PatchShape, height: int) -> Tensor:
    """The place [B, 5, H, W] of each pixel within the five bands of its column: 0 above a band, 1 below it."""
    edges = _column_edges(shape.curves, height)
    rows = torch.arange(height, dtype=edges.dtype, device=edges.device)[None, None, :, None]
    upper, lower = edges[:, :-1, None], edges[:, 1:, None]
    return ((rows - upper) / (lower - upper)).clamp(0, 1)


def warp_between_shapes(picture: Tensor, own: PatchShape, wanted: PatchShape) -> Tensor:
    """Warp patches ``picture`` [B, C, H, W], whose parts have the shape ``own``, into the shape ``wanted``."""
    height, width = picture.shape[-2:]
    columns = _map_columns(own.corners, wanted.corners, width)
    low = columns.floor().clamp(0, width - 2).long()
    share = (columns - low).clamp(0, 1)[:, None]
    edges = _column_edges(own.curves, height)
    index = low[:, None].expand(-1, edges.shape[1], -1)
    here = torch.lerp(edges.gather(2, index), edges.gather(2, index + 1), share)
    bands = band_coordinate(wanted, height)
    rows = here[:, :1] + (bands * (here[:, 1:] - here[:, :-1])[:, :, None]).sum(dim=1)
    x = ((2 * columns + 1) / width - 1)[:, None].expand_as(rows)
    grid = torch.stack([x, (2 * rows + 1) / height - 1], dim=-1)
    return F.grid_sample(picture, grid.to(picture.dtype), padding_mode="border", align_corners=False)


def _column_edges(curves: Tensor, height: int) -> Tensor:
    """The six edges [B, 6, W] of the bands, in order and at least a quarter of a pixel apart."""
    top = torch.zeros_like(curves[:, :1])
    edges = torch.cat([top, curves, torch.full_like(top, height - 1.0)], dim=1)
    edges = torch.cummax(edges, dim=1).values
    gaps = (edges[:, 1:] - edges[:, :-1]).clamp_min(_MIN_BAND)
    spread = torch.cat([edges[:, :1], edges[:, :1] + gaps.cumsum(dim=1)], dim=1)
    return spread * ((height - 1.0) / spread[:, -1:])


def _map_columns(own: Tensor, wanted: Tensor, width: int) -> Tensor:
    """For each column of the wanted shape its column [B, W] in the own one."""

    def spread_edges(corners: Tensor) -> Tensor:
        ends = torch.stack([torch.zeros_like(corners[:, 0]), *corners.unbind(1)], dim=1).clamp(0, width - 3.0)
        ends = torch.cummax(ends + torch.arange(3, device=ends.device), dim=1).values
        return torch.cat([ends, torch.full_like(ends[:, :1], width - 1.0)], dim=1)

    there, here = spread_edges(wanted), spread_edges(own)
    places = torch.arange(width, dtype=here.dtype, device=here.device)[None, None]
    first, last = there[:, :-1, None], there[:, 1:, None]
    bands = ((places - first) / (last - first).clamp_min(1e-3)).clamp(0, 1)
    return here[:, :1] + (bands * (here[:, 1:] - here[:, :-1])[..., None]).sum(dim=1)
