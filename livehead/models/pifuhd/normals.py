"""The network that predicts surface normals, of pix2pixHD (Wang et al., "High-Resolution Image Synthesis and Semantic
Manipulation with Conditional GANs", CVPR 2018, the global generator), as PIFuHD uses it for front and back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu


class _InPlaceRelu(nn.Module):
    """ReLU as a module, in place where no gradient needs the input."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class _InstanceNorm(nn.Module):
    """Normalises each plane of each picture to mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, eps=1e-5)


class NormalResBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual connection; nothing follows the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), _InstanceNorm(), _InPlaceRelu())
        self.conv_block = nn.Sequential(*first, nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), _InstanceNorm())

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv_block(x)
        return x + change


class NormalNet(nn.Module):
    """A network that halves ``halvings`` times, applies ``blocks`` residual blocks and doubles again.

    ``width``: channels at full size; every halving doubles them. The layers' indices are the published ones.
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
        """Normals [B, 3, S, S] in [-1, 1] of ``image`` [B, 3, S, S] RGB in [-1, 1]; S is a multiple of 2^halvings."""
        normals: Tensor = self.model(image)
        return normals
