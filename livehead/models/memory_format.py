"""Conversion between the two memory layouts of feature maps.

Sampling wants one plane after the other (NCHW); convolutions want all channels of a pixel side by side (NHWC, channels
last). A CPU converts one into the other fastest as a transposition of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_PLANE_PADDING = 32  # numbers between planes that are read side by side: a power of two apart, they share cache lines


def to_nchw(features: Tensor) -> Tensor:
    """Features [B, C, H, W] of any layout and type as float32, plane after plane."""
    if _has_own_layout(features) or features.stride(1) != 1:
        return features.to(torch.float32, memory_format=torch.contiguous_format)
    pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
    return _transpose_matrices(pixels).float().view(features.shape)


def split_to_nchw(features: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Split features along the channels into parts of these ``sizes``, each converted as by ``to_nchw``."""
    if not is_tracing():
        return [to_nchw(part) for part in torch.split(features, list(sizes), dim=1)]
    # Flattened planes keep a compiler from splitting pixel by pixel.
    size = features.shape[2:]
    return [torch.unflatten(part.float(), 2, size) for part in torch.split(features.flatten(2), list(sizes), dim=1)]


def to_nhwc(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Join planar ``parts`` [B, C, H, W] along the channels, in ``dtype`` and channels last."""
    if _has_own_layout(parts[0]):
        whole = torch.cat([part.to(dtype) for part in parts], dim=1)
        return whole.contiguous(memory_format=torch.channels_last)
    batch, _, height, width = parts[0].shape
    counts = [part.shape[1] for part in parts]
    places = height * width
    joined = torch.empty((batch, sum(counts), places + _PLANE_PADDING), dtype=dtype)[:, :, :places]
    for part, room in zip(parts, torch.split(joined, counts, dim=1), strict=True):
        room.copy_(part.flatten(2))
    return joined.transpose(1, 2).contiguous().view(batch, height, width, -1).permute(0, 3, 1, 2)


def is_tracing() -> bool:
    """Tell whether ``torch.jit.trace`` is recording what is computed."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]  # torch.jit has no annotations


def _has_own_layout(features: Tensor) -> bool:
    """Whether the CPU's cache does not matter: on a GPU, and while a trace is made for a compiler that lays out memory
    itself."""
    return features.device.type != "cpu" or is_tracing()


def _transpose_matrices(matrices: Tensor) -> Tensor:
    """Transpose matrices [B, M, N] to [B, N, M] one by one: PyTorch is fast at one matrix and slow at a stack."""
    if len(matrices) == 1:
        return matrices[0].t().contiguous()[None]
    return torch.stack([matrix.t().contiguous() for matrix in matrices])
