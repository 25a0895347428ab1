"""The few layers of all OpenPose networks: convolutions of stride 1 that keep the size, each with its activation."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ConvRelu(nn.Module):
    """A convolution and ReLU."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.conv(x))
        return activated


class ConvPrelu(nn.Module):
    """A convolution and PReLU: a ReLU with a learned slope for negative values, one a channel."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.act = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.conv(x))
        return activated


class CeilMaxPool(nn.Module):
    """Max pooling of 2 x 2 cells; an odd side keeps its last line, since Caffe rounds up."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, ceil_mode=True)


def vgg_trunk(widths: Sequence[int | None], channels: int = 3) -> nn.Sequential:
    """VGG's 3 x 3 convolutions with ReLU; a width of None is a pool."""
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(CeilMaxPool() if width is None else ConvRelu(channels, width))
        channels = width or channels
    return nn.Sequential(*layers)
