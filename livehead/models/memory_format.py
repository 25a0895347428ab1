"""How feature maps lie in memory: planes after each other, as sampling wants them, or all channels of a pixel side by
side (channels last), as convolutions do. A processor turns one into the other quickest as matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_PLANE_PADDING = 32  # numbers between planes that are read side by side: a power of two apart they share cache lines


def to_nchw(features: Tensor) -> Tensor:
    """Features [B, C, H, W] of any layout and type as float32, plane after plane."""
    if _is_layout_foreign(features) or features.stride(1) != 1:
        return features.to(torch.float32, memory_format=torch.contiguous_format)
    pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
    return _transpose_matrices(pixels).float().view(features.shape)


def split_to_nchw(features: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """As ``planar``, split along the channels into parts of these ``sizes``."""
    if not torch.jit.is_tracing():
        return [to_nchw(part) for part in features.split(list(sizes), dim=1)]
    # of flat planes a compiler splits nothing pixel by pixel
    size = features.shape[2:]
    return [part.float().unflatten(2, size) for part in features.flatten(2).split(list(sizes), dim=1)]


def to_nhwc(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Planar ``parts`` [B, C, H, W] joined along the channels, in ``dtype`` and channels last."""
    if _is_layout_foreign(parts[0]):
        whole = torch.cat([part.to(dtype) for part in parts], dim=1)
        return whole.contiguous(memory_format=torch.channels_last)
    batch, _, height, width = parts[0].shape
    counts = [part.shape[1] for part in parts]
    places = height * width
    joined = torch.empty((batch, sum(counts), places + _PLANE_PADDING), dtype=dtype)[:, :, :places]
    for part, room in zip(parts, joined.split(counts, dim=1), strict=True):
        room.copy_(part.flatten(2))
    return joined.transpose(1, 2).contiguous().view(batch, height, width, -1).permute(0, 3, 1, 2)


def _is_layout_foreign(features: Tensor) -> bool:
    """Whether not a processor's own memory counts: on a GPU, and while a compiler that lays it out itself listens."""
    return features.device.type != "cpu" or torch.jit.is_tracing()


def _transpose_matrices(matrices: Tensor) -> Tensor:
    """[B, M, N] to [B, N, M], one by one: PyTorch has a quick way for matrices and none for stacks of them."""
    if len(matrices) == 1:
        return matrices[0].t().contiguous()[None]
    return torch.stack([matrix.t().contiguous() for matrix in matrices])
