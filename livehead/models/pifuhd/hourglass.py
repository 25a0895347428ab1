"""The stacked hourglass that turns pictures into pixel-aligned features (Newell et al., "Stacked Hourglass Networks for
Human Pose Estimation", ECCV 2016; in this form of Jackson et al., ICCV 2017, PIFu and PIFuHD).

Group norms look at the whole picture: features of a tile are not those of the picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu

_GROUPS = 32


def group_norm(channels: int) -> nn.GroupNorm:
    """A group norm of 32 groups, as everywhere in PIFuHD."""
    return nn.GroupNorm(_GROUPS, channels)


class ConvBlock(nn.Module):
    """Three convolutions in a row, whose outputs are concatenated and added to the input.

    A norm and ReLU precede each. ``bn4`` is used only where the number of channels changes, but every published block
    has it.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        half, quarter = out // 2, out // 4
        self.bn1, self.conv1 = group_norm(channels), nn.Conv2d(channels, half, 3, padding=1, bias=False)
        self.bn2, self.conv2 = group_norm(half), nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3, self.conv3 = group_norm(quarter), nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.bn4 = group_norm(channels)
        self.downsample: nn.Sequential | None = None
        if channels != out:
            self.downsample = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(relu(self.bn1(x)))
        second = self.conv2(relu(self.bn2(first)))
        third = self.conv3(relu(self.bn3(second)))
        shortcut = x if self.downsample is None else self.downsample(self.bn4(x))
        return torch.cat([first, second, third], dim=1).add_(shortcut)


class RecursiveHourglass(nn.ModuleDict):
    """An hourglass that halves ``depth`` times and doubles again, with a skip block on every level."""

    def __init__(self, depth: int, planes: int) -> None:
        names = [f"{part}_{level}" for level in range(1, depth + 1) for part in ("b1", "b2", "b3")]
        super().__init__({name: ConvBlock(planes, planes) for name in [*names, "b2_plus_1"]})
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_level(self.depth, x)

    def _forward_level(self, level: int, x: Tensor) -> Tensor:
        below = self[f"b2_{level}"](F.avg_pool2d(x, 2))
        below = self._forward_level(level - 1, below) if level > 1 else self["b2_plus_1"](below)
        below = self[f"b3_{level}"](below)
        upsampled = F.interpolate(below, scale_factor=2, mode="bicubic", align_corners=True)
        del below  # at full size the two tensors that are left take a quarter of a gigabyte each
        return upsampled.add_(self[f"b1_{level}"](x))


class HourglassStack(nn.Module):
    """An hourglass and the layers that read features off it. ``feeds_next``: whether another stack follows."""

    def __init__(self, depth: int, planes: int, features: int, *, feeds_next: bool) -> None:
        super().__init__()
        self.hourglass = RecursiveHourglass(depth, planes)
        self.top = ConvBlock(planes, planes)
        self.last = nn.Conv2d(planes, planes, 1)
        self.norm = group_norm(planes)
        self.out = nn.Conv2d(planes, features, 1)
        self.trunk_back = nn.Conv2d(planes, planes, 1) if feeds_next else None
        self.out_back = nn.Conv2d(features, planes, 1) if feeds_next else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, F, h, w], and the input of the next stack."""
        trunk = relu(self.norm(self.last(self.top(self.hourglass(x)))))
        features = self.out(trunk)
        if self.trunk_back is None or self.out_back is None:
            return features, x
        return features, x + self.trunk_back(trunk) + self.out_back(features)


class HourglassFilter(nn.Module):
    """Pictures [B, 9, S, S] to features [B, F, S / 2, S / 2]; with ``halved`` [B, F, S / 4, S / 4].

    S must be a multiple of ``2^(depth + 1)``, twice that with ``halved``.
    """

    def __init__(self, stacks: int, depth: int, features: int, *, halved: bool, planes: int = 256) -> None:
        super().__init__()
        self.halved = halved
        self.conv1 = nn.Conv2d(9, 64, 7, 2, padding=3)
        self.bn1 = group_norm(64)
        self.conv2, self.conv3, self.conv4 = ConvBlock(64, 128), ConvBlock(128, 128), ConvBlock(128, planes)
        self.stacks = nn.ModuleList(
            HourglassStack(depth, planes, features, feeds_next=i < stacks - 1) for i in range(stacks)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of the last stack: those of the others are for training only."""
        x = self.conv2(relu(self.bn1(self.conv1(pictures))))
        if self.halved:
            x = F.avg_pool2d(x, 2)
        x = self.conv4(self.conv3(x))
        features: Tensor = x
        for stack in self.stacks:
            features, x = stack(x)
        return features
