"""CoNR's two encoders (Lin et al., "Collaborative Neural Rendering Using Anime Character Sheets", IJCAI 2023).

Both are U-nets on a residual network with instance norms. One detects ultra-dense poses in pictures, and its features
describe a character's views; of the other, which encodes the target pose, only the features are used. Attribute names
are those of the published state dicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import layer_dtype, relu
from livehead.models.resnet import BasicBlock, BottleneckBlock, LayerCount, residual_stage

_MEAN, _DEVIATION = 0.6, 0.2970  # of every plane, whether it holds a colour, a coordinate or a share

UP_WIDTHS = (512, 384, 256, 128, 32)
"""Widths of the U-nets' upward blocks, the coarsest first."""


class Float32InstanceNorm(nn.Module):
    """An instance norm, with learned scale and shift, whose statistics are float32 whatever the features' type.

    A coarse map has few pixels: in half precision its mean and deviation would have two digits.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float()
        variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        scale = self.norm.weight.float()[:, None, None] * torch.rsqrt(variance + self.norm.eps)
        shift = self.norm.bias.float()[:, None, None] - mean * scale
        return torch.addcmul(shift, exact, scale).to(x.dtype)


class UNetUpBlock(nn.Module):
    """A transposed convolution to twice the size, then a convolution of [up, skip]; norm and ReLU follow each."""

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, out, 4, 2, padding=1, bias=False)
        self.bn1 = Float32InstanceNorm(out)
        self.conv2 = nn.Conv2d(out + skip, out, 3, padding=1, bias=False)
        self.bn2 = Float32InstanceNorm(out)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = relu(self.bn1(self.up(x)))
        return relu(self.bn2(self.conv2(x if skip is None else torch.cat([x, skip], dim=1))))


class ResNetUNet(nn.Module):
    """A U-net from pictures [B, ``channels``, S, S] in [0, 1] to five feature maps and on to ``classes`` planes.

    ``pool`` halves the first map, which has ``width`` channels. S is a multiple of 32.
    """

    def __init__(
        self, layers: LayerCount, channels: int, classes: int, pool: nn.Module, width: int, up_widths: Sequence[int]
    ) -> None:
        super().__init__()
        block, counts, growth = (BasicBlock, (2, 2, 2, 2), 1) if layers == 18 else (BottleneckBlock, (3, 4, 6, 3), 4)
        inner = [width * 2**stage for stage in range(4)]
        outer = [width, *(growth * each for each in inner)]
        stages = [
            residual_stage(block, outer[i], inner[i], counts[i], 1 if i == 0 else 2, Float32InstanceNorm)
            for i in range(4)
        ]
        first = nn.Conv2d(channels, width, 7, 2, padding=3, bias=False)
        self.backbone = nn.Sequential(first, Float32InstanceNorm(width), nn.ReLU(), pool, *stages)
        below, skips = [outer[-1], *up_widths[:-1]], [*reversed(outer[:-1]), 0]
        self.upsample_blocks = nn.ModuleList(UNetUpBlock(*sizes) for sizes in zip(below, skips, up_widths, strict=True))
        self.final_conv = nn.Conv2d(up_widths[-1], classes, 1)

    def extract_features(self, pictures: Tensor) -> list[Tensor]:
        """The five feature maps, coarse (1/32 of the size) to fine (1/2)."""
        stem, norm, activation, pool, *stages = self.backbone
        x = ((pictures - _MEAN) / _DEVIATION).to(layer_dtype(stem), memory_format=torch.channels_last)
        found = [activation(norm(stem(x)))]
        x = pool(found[0])
        for stage in stages:
            x = stage(x)
            found.append(x)
        return found[::-1]

    def decode_features(self, features: Sequence[Tensor]) -> Tensor:
        """Planes [B, ``classes``, S, S] of unbounded float32 values, from the five maps, coarse to fine."""
        x, *skips = features
        for up_block, skip in zip(self.upsample_blocks, [*skips, None], strict=True):
            x = up_block(x, skip)
        planes: Tensor = self.final_conv(x)
        return planes.float()


class ParsedDensePose(NamedTuple):
    """The parser's output: the ultra-dense pose ``dense_pose`` [B, 4, S, S] (X, Y, Z, visibility), float32 and not yet
    clamped to [0, 1], and the ``features`` that led to it, coarse to fine."""

    dense_pose: Tensor
    features: list[Tensor]


class DensePoseParser(ResNetUNet):
    """Detects the ultra-dense pose of a character in pictures [B, 3, S, S], RGB in [0, 1] times alpha."""

    def __init__(self, width: int = 64, up_widths: Sequence[int] = UP_WIDTHS) -> None:
        super().__init__(50, 3, 4, nn.Conv2d(width, width, 3, 2, padding=1, bias=False), width, up_widths)

    def forward(self, pictures: Tensor) -> ParsedDensePose:
        features = self.extract_features(pictures)
        return ParsedDensePose(self.decode_features(features), features)

    def detect_dense_pose(self, pictures: Tensor) -> Tensor:
        """The ultra-dense pose [B, 4, S, S], clamped to [0, 1]."""
        return self.decode_features(self.extract_features(pictures)).clamp(0, 1)


class TargetPoseEncoder(ResNetUNet):
    """Encodes a target pose [B, 4, S, S]: X, Y and Z times visibility, and visibility, in [0, 1].

    It was trained as a whole U-net; its decoder has weights but is not used.
    """

    def __init__(self, width: int = 64, up_widths: Sequence[int] = UP_WIDTHS) -> None:
        super().__init__(18, 4, 1, nn.MaxPool2d(3, 2, padding=1), width, up_widths)

    def forward(self, target: Tensor) -> list[Tensor]:
        return self.extract_features(target)
