"""The discriminator of adversarial training, which judges patches of a picture together with its key points.

It is DaGAN's own (and FOMM's): four convolutions without padding, of which all but the first are normalised, then one
value a patch without a final activation. Attribute names are those of the published state dict.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.dagan.dense_motion import gaussian_heat_maps
from livehead.models.grid import corner_grid


class DiscriminatorOutput(NamedTuple):
    """The ``features`` after every block, and ``realness`` [B, 1, h, w]: 1 for real patches, 0 for generated ones."""

    features: list[Tensor]
    realness: Tensor


class _DiscriminatorBlock(nn.Module):
    def __init__(self, channels: int, out: int, *, norm: bool, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 4)
        self.norm = nn.InstanceNorm2d(out, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        x = F.leaky_relu(x, 0.2)
        return F.avg_pool2d(x, 2) if self.pool else x


class _PatchDiscriminator(nn.Module):
    def __init__(self, channels: int, expansion: int, largest: int, blocks: int) -> None:
        super().__init__()
        widths = [channels, *(min(largest, expansion * 2 ** (i + 1)) for i in range(blocks))]
        self.down_blocks = nn.ModuleList(
            _DiscriminatorBlock(widths[i], widths[i + 1], norm=i > 0, pool=i < blocks - 1) for i in range(blocks)
        )
        self.conv = nn.Conv2d(widths[-1], 1, 1)


class Discriminator(nn.Module):
    """A patch discriminator for ``points`` key points; block i is ``min(largest, expansion * 2^(i + 1))`` wide."""

    def __init__(self, points: int, expansion: int = 32, largest: int = 512, blocks: int = 4) -> None:
        super().__init__()
        self.discs = nn.ModuleDict({"1": _PatchDiscriminator(3 + points, expansion, largest, blocks)})

    def forward(self, image: Tensor, points: Tensor) -> DiscriminatorOutput:
        """Judge ``image`` [B, 3, S, S] RGB in [0, 1] with ``points`` [B, K, 2], into which no gradient flows."""
        height, width = image.shape[2:]
        maps = gaussian_heat_maps(points.detach(), corner_grid(height, width, image))
        x = torch.cat([image, maps.to(image.dtype)], dim=1)
        patches = cast(_PatchDiscriminator, self.discs["1"])
        features: list[Tensor] = []
        for block in patches.down_blocks:
            x = block(x)
            features.append(x)
        return DiscriminatorOutput(features, patches.conv(x))
