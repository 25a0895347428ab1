"""How feature maps lie in memory: planes after each other, as sampling wants them, or all channels of a pixel side by
side (channels last), as convolutions do. A processor turns one into the other quickest as matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def planar(features: Tensor) -> Tensor:
    """Features [B, C, H, W] of any layout and type as float32, plane after plane."""
    if features.device.type != "cpu" or not features.is_contiguous(memory_format=torch.channels_last):
        return features.to(torch.float32, memory_format=torch.contiguous_format)
    batch, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    return _transposed(pixels).float().view(batch, channels, height, width)


def interleaved(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Planar ``parts`` [B, C, H, W] joined along the channels, in ``dtype`` and channels last."""
    whole = torch.cat([part.to(dtype) for part in parts], dim=1)
    if whole.device.type != "cpu":
        return whole.contiguous(memory_format=torch.channels_last)
    batch, channels, height, width = whole.shape
    pixels = _transposed(whole.reshape(batch, channels, height * width))
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _transposed(matrices: Tensor) -> Tensor:
    """[B, M, N] to [B, N, M], one by one: PyTorch has a quick way for matrices and none for stacks of them."""
    if len(matrices) == 1:
        return matrices[0].t().contiguous()[None]
    return torch.stack([matrix.t().contiguous() for matrix in matrices])
