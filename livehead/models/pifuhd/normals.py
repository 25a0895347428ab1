"""The network that paints surface normals, of pix2pixHD (Wang et al., "High-Resolution Image Synthesis and Semantic
Manipulation with Conditional GANs", CVPR 2018, the global generator), as PIFuHD uses it for front and back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu


class _InPlaceRelu(nn.Module):
    """In place where no gradient will ask for what was there; without weights, as every layer between them."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class _InstanceNorm(nn.Module):
    """Each plane of each picture to mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, eps=1e-5)


class NormalResBlock(nn.Module):
    """Two 3 x 3 convolutions beside a short cut; nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), _InstanceNorm(), _InPlaceRelu())
        self.conv_block = nn.Sequential(*first, nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), _InstanceNorm())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class NormalNet(nn.Module):
    """Halved ``halvings`` times, ``blocks`` residual blocks, doubled again. The layers lie at their published places.

    ``width``: planes at full size; every halving doubles them.
    """

    def __init__(self, width: int, halvings: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), _InstanceNorm(), _InPlaceRelu()]
        for level in range(halvings):
            planes = width * 2**level
            layers += [nn.Conv2d(planes, 2 * planes, 3, 2, padding=1), _InstanceNorm(), _InPlaceRelu()]
        layers += [NormalResBlock(width * 2**halvings) for _ in range(blocks)]
        for level in reversed(range(halvings)):
            planes = width * 2**level
            rise = nn.ConvTranspose2d(2 * planes, planes, 3, 2, padding=1, output_padding=1)
            layers += [rise, _InstanceNorm(), _InPlaceRelu()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """``image`` [B, 3, S, S] RGB in [-1, 1] to normals [B, 3, S, S] in [-1, 1]; S is a multiple of 2^halvings."""
        return self.model(image)
