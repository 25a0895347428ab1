"""The layers that DaGAN's networks are made of (Hong et al., "Depth-Aware Generative Adversarial Network for Talking
Head Video Generation", CVPR 2022; they come from the first-order motion model, Siarohin et al., NeurIPS 2019).

Attribute names are those of the published state dicts (``conv``, ``norm``, ``norm1``...): checkpoints load by name.
Every block takes and returns [B, C, H, W].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer_dtype(layer: nn.Module) -> torch.dtype:
    """The dtype of the layer's ``weight``: what its input should be cast to."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.dtype


def zero_parameters(layer: nn.Module) -> None:
    """Set all parameters of ``layer`` to zero, so that it starts without any effect."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def relu(x: Tensor) -> Tensor:
    """ReLU, computed in place where no gradient needs the input."""
    return F.relu(x, inplace=not torch.is_grad_enabled())


class SameBlock(nn.Module):
    """A convolution, batch norm and ReLU at one resolution."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(x)))


class DownBlock(nn.Module):
    """A convolution, batch norm and ReLU, then the mean of each 2 x 2 cells."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(relu(self.norm(self.conv(x))), 2)


class UpBlock(nn.Module):
    """Nearest-neighbour upsampling to twice the size, then a convolution, batch norm and ReLU."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))))


class ResBlock(nn.Module):
    """A pre-activation residual block: norm, ReLU and convolution, twice; nothing follows the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(relu(self.norm1(x)))
        outer: Tensor = self.conv2(relu(self.norm2(inner)))
        return outer + x


class AntiAliasInterpolation(nn.Module):
    """Downscaling of a picture to ``scale`` times its size: a Gaussian blur, then every 1 / scale-th pixel.

    As in FOMM: deviation (1 / scale - 1) / 2, a window of four deviations to each side, zeros beyond the border.
    """

    weight: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.stride = round(1 / scale)
        self.register_buffer("weight", _gaussian_kernel((self.stride - 1) / 2).expand(channels, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Downscale pictures [B, C, H, W] to [B, C, ceil(scale H), ceil(scale W)]."""
        if self.stride == 1:
            return x
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight.to(x.dtype), stride=self.stride, padding=padding, groups=len(self.weight))


def _gaussian_kernel(deviation: float) -> Tensor:
    """A normalised Gaussian window [n, n]; for deviation 0 the single weight 1."""
    reach = round(4 * deviation)
    offset = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-(offset**2) / (2 * deviation**2)) if reach else torch.ones(1)
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
    """A U-net that halves ``depth`` times and doubles again, joining every level as [up, skip]; the last skip is the
    input itself.

    Widths are ``min(largest, expansion * 2^level)``. It returns ``out_channels`` = expansion + channels planes.
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
