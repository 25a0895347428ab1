"""Face depth: from one picture to the disparity of each pixel (DaGAN, section 3.1).

The network is that of Godard et al., "Digging Into Self-Supervised Monocular Depth Estimation" (ICCV 2019), trained on
faces. It returns *disparity* in (0, 1): large is near. Nothing converts it to metres before the key points use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.resnet import ResNet

_DECODER_WIDTHS = (16, 32, 64, 128, 256)
_SCALE_COUNT = 4


class ReflectPadConv(nn.Module):
    """A 3 x 3 convolution with reflection padding."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        filtered: Tensor = self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect"))
        return filtered


class _ConvElu(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = ReflectPadConv(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x), inplace=not torch.is_grad_enabled())


class DepthDecoder(nn.Module):
    """A decoder from a pyramid of five feature maps, whose channels are ``widths``, to disparity.

    ``decoder`` holds two steps for each of levels 4 to 0, then the heads of scales 0 to 3.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        below = widths[4]
        for level in reversed(range(5)):
            joined = _DECODER_WIDTHS[level] + (widths[level - 1] if level else 0)
            parts += [_ConvElu(below, _DECODER_WIDTHS[level]), _ConvElu(joined, _DECODER_WIDTHS[level])]
            below = _DECODER_WIDTHS[level]
        parts += [ReflectPadConv(_DECODER_WIDTHS[scale], 1) for scale in range(_SCALE_COUNT)]
        self.decoder = nn.ModuleList(parts)

    def forward(self, features: Sequence[Tensor], scales: int = _SCALE_COUNT) -> list[Tensor]:
        """Disparities [B, 1, H / 2^s, W / 2^s] float32 of scales 0 to ``scales`` - 1, the finest first."""
        x, found = features[4], []
        for level in reversed(range(5)):
            x = self.decoder[8 - 2 * level](x)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, features[level - 1]], dim=1) if level else x
            x = self.decoder[9 - 2 * level](x)
            if level < scales:
                found.append(torch.sigmoid(self.decoder[10 + level](x).float()))
        return found[::-1]


class FaceDepthNetwork(nn.Module):
    """Encoder and decoder as the one network that DaGAN uses."""

    def __init__(self, encoder: ResNet, decoder: DepthDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Disparity [B, 1, H, W] float32 of ``image`` [B, 3, H, W] RGB in [0, 1]; sides are multiples of 32."""
        disparity: Tensor = self.decoder(self.encoder(image), scales=1)[0]
        return disparity
