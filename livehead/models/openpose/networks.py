"""The three kinds of published networks. All take [B, 3, H, W] BGR in [-0.5, 0.5) and return maps at an eighth of the
size; a network for bodies returns heat maps first, then affinity fields (``Skeleton`` describes the planes).

Cao et al., TPAMI 2019, section 3.2 and figure 3 (``DenseNetwork``: fields first, then heat maps from the finished
fields); Cao et al., CVPR 2017, figure 3 (``BranchNetwork``: both in turns); Simon et al., CVPR 2017 (``PointNetwork``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livehead.models.openpose.layers import ConvPrelu, ConvRelu


class DenseUnit(nn.Module):
    """Three convolutions in a row, whose outputs are concatenated: [B, 3 width, h, w]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvPrelu(channels if j == 0 else width, width) for j in range(3))

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for conv in self.convs:
            x = conv(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


class DenseStage(nn.Module):
    """Five dense units of ``width``, then 1 x 1 convolutions to ``hidden`` and to ``out`` planes."""

    def __init__(self, channels: int, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*(DenseUnit(channels if i == 0 else 3 * width, width) for i in range(5)))
        self.head = ConvPrelu(3 * width, hidden, 1)
        self.out = nn.Conv2d(hidden, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.out(self.head(self.units(x)))
        return maps


class _TwoBranchNetwork(nn.Module):
    """A trunk and the stages of two branches: the base of both networks for bodies."""

    def __init__(self, trunk: nn.Module, fields: Sequence[nn.Module], heats: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.fields = nn.ModuleList(fields)
        self.heats = nn.ModuleList(heats)


class DenseNetwork(_TwoBranchNetwork):
    """BODY_25's network: fields first, each stage from the features and the last fields, then heat maps.

    Every stage of ``heats`` takes the finished fields and the last heat maps too.
    """

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        field = self.fields[0](features)
        for stage in self.fields[1:]:
            field = stage(torch.cat([features, field], dim=1))
        heat = self.heats[0](torch.cat([features, field], dim=1))
        for stage in self.heats[1:]:
            heat = stage(torch.cat([features, heat, field], dim=1))
        return torch.cat([heat, field], dim=1)


def first_stage(channels: int, out: int) -> nn.Sequential:
    """The first stage of a branch: three 3 x 3 convolutions, then 1 x 1 to 512 and to ``out`` planes."""
    width = 128
    convs = [ConvRelu(channels, width), ConvRelu(width, width), ConvRelu(width, width), ConvRelu(width, 512, 1)]
    return nn.Sequential(*convs, nn.Conv2d(512, out, 1))


def later_stage(channels: int, out: int) -> nn.Sequential:
    """A later stage of a branch: five 7 x 7 convolutions, one 1 x 1, and 1 x 1 to ``out`` planes."""
    width = 128
    convs = [ConvRelu(channels if i == 0 else width, width, 7) for i in range(5)]
    return nn.Sequential(*convs, ConvRelu(width, width, 1), nn.Conv2d(width, out, 1))


class BranchNetwork(_TwoBranchNetwork):
    """COCO_18's and MPI_15's network: a branch for fields beside one for heat maps.

    Each stage takes both results of the stage before, and the features.
    """

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        field, heat = self.fields[0](features), self.heats[0](features)
        for field_stage, heat_stage in zip(self.fields[1:], self.heats[1:], strict=True):
            seen = torch.cat([field, heat, features], dim=1)
            field, heat = field_stage(seen), heat_stage(seen)
        return torch.cat([heat, field], dim=1)

    def truncate_stages(self, stages: int) -> BranchNetwork:
        """The network of the first ``stages`` only: MPI's four-stage file is its six-stage one, cut there."""
        return BranchNetwork(self.trunk, list(self.fields)[:stages], list(self.heats)[:stages]).eval()


class PointNetwork(nn.Module):
    """A network for the heat maps of one hand or face; the last plane is the background."""

    def __init__(self, trunk: nn.Module, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        heat: Tensor = self.stages[0](features)
        for stage in self.stages[1:]:
            heat = stage(torch.cat([heat, features], dim=1))
        return heat
