"""Residual networks as feature pyramids (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

They have 18 or 50 layers; attribute names are those of torchvision's state dicts, which the published depth networks
carry under ``encoder.``. The classifier is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu

LayerCount = Literal[18, 50]
NormFactory = Callable[[int], nn.Module]
"""Builds the norm that follows a convolution with that many channels."""

_MEAN, _DEVIATION = 0.45, 0.225  # of colours, the same for all three channels


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual connection."""

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None, norm: NormFactory) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(x)) + shortcut)


class BottleneckBlock(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with a residual connection; the last has four times the width."""

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None, norm: NormFactory) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = norm(4 * width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        x = relu(self.bn2(self.conv2(x)))
        return relu(self.bn3(self.conv3(x)) + shortcut)


def residual_stage(
    block: type[BasicBlock | BottleneckBlock],
    channels: int,
    width: int,
    count: int,
    stride: int,
    norm: NormFactory = nn.BatchNorm2d,
) -> nn.Sequential:
    """A sequence of ``count`` blocks; the first takes ``channels`` channels and has the ``stride``."""
    out = width if block is BasicBlock else 4 * width
    downsample = None
    if stride != 1 or channels != out:
        downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out))
    rest = [block(out, width, 1, None, norm) for _ in range(count - 1)]
    return nn.Sequential(block(channels, width, stride, downsample, norm), *rest)


class ResNet(nn.Module):
    """A residual network from ``frames`` stacked pictures to five feature maps, each half as large as the one before.

    ``widths``: the channels of the five maps.
    """

    def __init__(self, layers: LayerCount, frames: int = 1) -> None:
        super().__init__()
        block, counts, growth = (BasicBlock, (2, 2, 2, 2), 1) if layers == 18 else (BottleneckBlock, (3, 4, 6, 3), 4)
        self.widths = (64, *(growth * width for width in (64, 128, 256, 512)))
        self.conv1 = nn.Conv2d(3 * frames, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = residual_stage(block, 64, 64, counts[0], 1)
        self.layer2 = residual_stage(block, self.widths[1], 128, counts[1], 2)
        self.layer3 = residual_stage(block, self.widths[2], 256, counts[2], 2)
        self.layer4 = residual_stage(block, self.widths[3], 512, counts[3], 2)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The four residual stages."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps, the finest first, of ``pictures`` [B, 3 frames, H, W] RGB in [0, 1]."""
        x = ((pictures - _MEAN) / _DEVIATION).to(self.conv1.weight.dtype)
        features = [relu(self.bn1(self.conv1(x)))]
        x = F.max_pool2d(features[0], 3, 2, padding=1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
