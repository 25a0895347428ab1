"""The last of CoNR's networks: from the message that the views agreed on to a picture with alpha."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from livehead.models.blocks import layer_dtype, relu
from livehead.models.memory_format import to_nhwc


class RefinementBlock(nn.Module):
    """A residual block in which 1 x 1 convolutions stand where norms usually do (hence their names)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(relu(self.norm1(x)))
        outer: Tensor = self.conv2(relu(self.norm2(inner)))
        return outer + x


class RgbaDecoder(nn.Module):
    """Decodes a message [B, ``channels``, S, S] to RGBA [B, 4, S, S] in [0, 1], float32, straight alpha."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(OrderedDict(r0=RefinementBlock(channels)))
        self.conv_rgba = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, message: Tensor) -> Tensor:
        x = to_nhwc([message], layer_dtype(self.conv_rgba[0]))
        return torch.sigmoid(self.conv_rgba(self.bottleneck(x)).float())
