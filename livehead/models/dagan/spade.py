"""The SPADE decoder, which a map guides at every resolution (Park et al., "Semantic Image Synthesis with
Spatially-Adaptive Normalization", CVPR 2019). DaGAN's map is the warped photo itself and four learned planes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HIDDEN = 128
_SLOPE = 0.2


class SpadeNorm(nn.Module):
    """An instance norm whose scale and shift are predicted from a ``guide`` map of ``planes`` planes."""

    def __init__(self, channels: int, planes: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(planes, _HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        hidden = self.mlp_shared(F.interpolate(guide, x.shape[2:], mode="nearest"))
        gamma: Tensor = self.mlp_gamma(hidden)
        beta: Tensor = self.mlp_beta(hidden)
        return F.instance_norm(x) * (1 + gamma) + beta


class SpadeResBlock(nn.Module):
    """A residual block of two guided norms and convolutions; the shortcut has a norm too where the width changes."""

    def __init__(self, channels: int, out: int, planes: int) -> None:
        super().__init__()
        middle = min(channels, out)
        self.norm_0, self.norm_1 = SpadeNorm(channels, planes), SpadeNorm(middle, planes)
        self.conv_0 = nn.Conv2d(channels, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, out, 3, padding=1)
        self.norm_s = SpadeNorm(channels, planes) if channels != out else None
        self.conv_s = nn.Conv2d(channels, out, 1, bias=False) if channels != out else None

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        shortcut = x
        if self.norm_s is not None and self.conv_s is not None:
            shortcut = self.conv_s(self.norm_s(x, guide))
        x = self.conv_0(F.leaky_relu(self.norm_0(x, guide), _SLOPE))
        x = self.conv_1(F.leaky_relu(self.norm_1(x, guide), _SLOPE))
        return shortcut + x


class SpadeDecoder(nn.Module):
    """A decoder from features of ``channels`` channels at a quarter of the size, guided by the warped photo.

    It is ``width`` channels wide inside; the spectral norms of its training are folded into the weights.
    """

    def __init__(self, channels: int, width: int = 512) -> None:
        super().__init__()
        planes = 4 + 3
        self.compress = nn.Conv2d(channels, 4, 3, padding=1)
        self.fc = nn.Conv2d(channels, width, 3, padding=1)
        self.middle = nn.ModuleList(SpadeResBlock(width, width, planes) for _ in range(3))
        self.rise = nn.ModuleList(
            [SpadeResBlock(width, width // 2, planes), SpadeResBlock(width // 2, width // 8, planes)]
        )
        self.conv_img = nn.Conv2d(width // 8, 3, 3, padding=1)

    def forward(self, features: Tensor, photo: Tensor) -> Tensor:
        """RGB [B, 3, S, S] in [0, 1], float32.

        ``features`` [B, C, S/4, S/4]; ``photo`` [B, 3, S, S]: warped, 0 where occluded.
        """
        planes = F.interpolate(self.compress(features), photo.shape[2:], mode="nearest")
        guide = torch.cat([planes, photo.to(planes.dtype)], dim=1)
        x = self.fc(features)
        for block in self.middle:
            x = block(x, guide)
        for block in self.rise:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), guide)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, _SLOPE)).float())
