"""The layers that DaGAN's networks are made of (Hong et al., "Depth-Aware Generative Adversarial Network for Talking
Head Video Generation", CVPR 2022; they come from the first-order motion model, Siarohin et al., NeurIPS 2019).

Attribute names are those of the published state dicts (``conv``, ``norm``, ``norm1``...): checkpoints load by name.
Every block takes and returns [B, C, H, W].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def relu(x: Tensor) -> Tensor:
    """ReLU, in place where no gradient will ask for what was there."""
    return F.relu(x, inplace=not torch.is_grad_enabled())


class SameBlock(nn.Module):
    """Convolution, batch norm, ReLU at one resolution."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(x)))


class DownBlock(nn.Module):
    """Convolution, batch norm, ReLU, then the mean of each 2 x 2 cells."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(relu(self.norm(self.conv(x))), 2)


class UpBlock(nn.Module):
    """Doubled by repetition, then convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))))


class ResBlock(nn.Module):
    """Pre-activation residual block: norm, ReLU, convolution, twice; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(relu(self.norm1(x)))
        return self.conv2(relu(self.norm2(inner))) + x


class AntiAliasInterpolation(nn.Module):
    """A picture at ``scale`` times its size: blurred by a Gaussian that fits the scale, then every 1 / scale-th pixel.

    Of FOMM: deviation (1 / scale - 1) / 2, a window of four deviations to each side, zeros beyond the border.
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.stride = round(1 / scale)
        self.register_buffer("weight", _gaussian_kernel((self.stride - 1) / 2).expand(channels, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, ceil(scale H), ceil(scale W)]."""
        if self.stride == 1:
            return x
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight.to(x.dtype), stride=self.stride, padding=padding, groups=len(self.weight))


def _gaussian_kernel(deviation: float) -> Tensor:
    """A normalised window [n, n]; of deviation 0 the single weight 1."""
    reach = round(4 * deviation)
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-(place**2) / (2 * deviation**2)) if reach else torch.ones(1)
    window = line[:, None] * line
    return window / window.sum()


class _HourglassEncoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(DownBlock(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))


class _HourglassDecoder(nn.Module):
    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in pairs)


class Hourglass(nn.Module):
    """A U-net: ``depth`` times down and up again, every level joined as [up, skip]; the last skip is the input itself.

    Widths are ``min(largest, expansion * 2^level)``. Returns ``out_channels`` = expansion + channels planes.
    """

    def __init__(self, channels: int, expansion: int, largest: int, depth: int) -> None:
        super().__init__()
        inner = [min(largest, expansion * 2 ** (level + 1)) for level in range(depth)]
        outer = [min(largest, expansion * 2**level) for level in range(depth)]
        ups = []
        for level in reversed(range(depth)):
            below = inner[level] if level == depth - 1 else outer[level + 1] + inner[level]
            ups.append((below, outer[level]))
        self.encoder = _HourglassEncoder([channels, *inner])
        self.decoder = _HourglassDecoder(ups)
        self.out_channels = expansion + channels

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        for down in self.encoder.down_blocks:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.decoder.up_blocks:
            x = torch.cat([up(x), skips.pop()], dim=1)
        return x
