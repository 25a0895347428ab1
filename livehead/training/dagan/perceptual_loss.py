"""The perceptual loss by VGG-19's features (Simonyan & Zisserman, ICLR 2015; Johnson et al., ECCV 2016).

The weights are the user's own: torchvision's state dict, which is not ours to ship. Only its convolutions are read.
The network is written out here, as torchvision does not import beside the CPU build of torch 2.13 and is not a
dependency; its keys are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.errors import WeightsMismatchError
from livehead.models.blocks import AntiAliasInterpolation
from livehead.weights.checkpoint import read_checkpoint

_WIDTHS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))
"""Widths of the convolutions of five blocks, as far as relu5_1; a pooling layer lies between two blocks."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_REMEDY = "name torchvision's state dict of VGG-19 (vgg19-dcbb9e9d.pth)"


class Vgg19(nn.Module):
    """VGG-19 up to relu5_1. ``features`` is numbered as torchvision's, so that its state dict loads by name.

    Its weights are never trained.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.tap_indices: list[int] = []  # indices of relu1_1, relu2_1 ...
        channels = 3
        for block in _WIDTHS:
            if layers:
                layers.append(nn.MaxPool2d(2))
            self.tap_indices.append(len(layers) + 1)
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps, each half as large as the one before, of ``image`` [B, 3, S, S] RGB in [0, 1]; S >= 16."""
        x = (image - self.mean) / self.deviation
        maps: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.tap_indices:
                maps.append(x)
        return maps


def load_vgg19(path: Path) -> Vgg19:
    """Load VGG-19 from the user's file; its classifier and later layers are ignored. Nothing in the file is run.

    Raises: WeightsMissingError, WeightsMismatchError.
    """
    network = Vgg19()
    tensors = {key: value for found in read_checkpoint(path) for key, value in found.tensors.items()}
    wanted = network.state_dict()
    for key, value in wanted.items():
        if key not in tensors or tensors[key].shape != value.shape:
            raise WeightsMismatchError(f"{path} is no VGG-19: {key} is not as it should be", _REMEDY, subject=str(path))
    network.load_state_dict({key: tensors[key].float() for key in wanted})
    return network.eval()


class PerceptualLoss(nn.Module):
    """Sum over ``scales`` and five layers of the mean absolute difference of VGG-19's features (DaGAN, section 3.5)."""

    def __init__(self, network: Vgg19, scales: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.downs = nn.ModuleList(AntiAliasInterpolation(3, scale) for scale in scales)

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """The loss of two pictures [B, 3, S, S] RGB in [0, 1]: a scalar, 0 when they are equal."""
        total = generated.new_zeros(())
        with torch.autocast(generated.device.type, torch.bfloat16):
            for down in self.downs:
                with torch.no_grad():
                    truth = self.network(down(real))
                for ours, theirs in zip(self.network(down(generated)), truth, strict=True):
                    total = total + F.l1_loss(ours.float(), theirs.float())
        return total
