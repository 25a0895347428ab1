"""The perceptual distance LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual
metric", CVPR 2018) on small crops, by the first three blocks of VGG-16.

The weights are the user's own: ``scripts/convert_lpips.py`` makes the file from a published archive.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.weights.safetensors_file import load_strict_state, read_safetensors

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # LPIPS' own, for pictures in [-1, 1]


class PerceptualDistance(nn.Module):
    """Measures how different two pictures look, by three of LPIPS' five layers; its weights are never trained."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        blocks: list[nn.ModuleList] = []
        for widths in _BLOCKS:
            blocks.append(nn.ModuleList())
            for width in widths:
                blocks[-1].append(nn.Conv2d(channels, width, 3, padding=1))
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.weights = nn.ParameterList(torch.ones(widths[-1]) for widths in _BLOCKS)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean distance of pictures [B, 3, H, W] RGB in [0, 1]; no gradient reaches ``target``."""
        with torch.no_grad():
            truths = self._features(target)
        total = output.new_zeros((), dtype=torch.float32)
        for ours, theirs, weight in zip(self._features(output), truths, self.weights, strict=True):
            total = total + ((ours - theirs).square() * weight[None, :, None, None]).sum(dim=1).mean()
        return total

    def _features(self, picture: Tensor) -> list[Tensor]:
        x = (2 * picture - 1 - self.shift) / self.scale
        found: list[Tensor] = []
        with torch.autocast(picture.device.type, torch.bfloat16):
            for number, block in enumerate(self.blocks):
                x = F.max_pool2d(x, 2) if number else x
                assert isinstance(block, nn.ModuleList)
                for layer in block:
                    x = F.relu(layer(x))
                found.append(F.normalize(x.float(), dim=1, eps=1e-6))
        return found


def load_perceptual_distance(path: Path) -> PerceptualDistance:
    """Load the file of ``scripts/convert_lpips.py``. Raises: WeightsMissingError, WeightsMismatchError."""
    network = PerceptualDistance()
    load_strict_state(network, read_safetensors(path), path.name)
    return network.eval().requires_grad_(False)
