"""PIFuHD: normals of front and back, a coarse implicit function at half size, a fine one at full size
(Saito, Simon, Saragih, Joo, "PIFuHD: Multi-Level Pixel-Aligned Implicit Function for High-Resolution 3D Human
Digitization", CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.pifuhd.hourglass import HourglassFilter
from livehead.models.pifuhd.implicit import PointMlp, coarse_input, fine_input, is_inside, project_to_image
from livehead.models.pifuhd.normals import NormalNet


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPerson:
    """All that depends on the photo alone: normals ``front`` and ``back`` [B, 3, S, S], features [B, F, h, w]."""

    front: Tensor
    back: Tensor
    coarse: Tensor
    fine: Tensor


class OccupancyOutput(NamedTuple):
    """Occupancy: 1 inside, 0 outside, 0.5 at the surface. ``fine``, ``coarse`` [B, 1, N]; ``embedding`` [B, E, N]."""

    fine: Tensor
    coarse: Tensor
    embedding: Tensor


class PifuHdNetwork(nn.Module):
    """The network from a photo of a person to the occupancy of points (coordinates: see ``implicit``).

    Its last two parts, the implicit functions, run for every batch of points, the others once a photo.
    """

    def __init__(
        self,
        front: NormalNet,
        back: NormalNet,
        coarse_filter: HourglassFilter,
        fine_filter: HourglassFilter,
        coarse_mlp: PointMlp,
        fine_mlp: PointMlp,
    ) -> None:
        super().__init__()
        self.front, self.back = front, back
        self.coarse_filter, self.fine_filter = coarse_filter, fine_filter
        self.coarse_mlp, self.fine_mlp = coarse_mlp, fine_mlp

    def forward(self, image: Tensor, large: Tensor, points: Tensor) -> OccupancyOutput:
        """Occupancy of points [B, 3, N] from ``image`` [B, 3, S, S] and ``large`` [B, 3, 2 S, 2 S], RGB in [-1, 1].

        S is 512 in the published model.
        """
        return self.query(self.encode(image, large), points)

    def encode(self, image: Tensor, large: Tensor) -> EncodedPerson:
        """Compute normals and features of a photo, given at both sizes as in ``forward``."""
        image = _cast_like_network(image, self.coarse_filter)
        front, back = self.front(image), self.back(image)
        coarse = self.coarse_filter(torch.cat([image, front, back], dim=1))
        both = F.interpolate(torch.cat([front, back], 1), large.shape[2:], mode="bilinear", align_corners=True)
        fine = self.fine_filter(torch.cat([_cast_like_network(large, self.fine_filter), both], dim=1))
        return EncodedPerson(front, back, _to_lookup_layout(coarse), _to_lookup_layout(fine))

    def query(self, code: EncodedPerson, points: Tensor) -> OccupancyOutput:
        """Occupancy at points [B, 3, N]: 0 outside the picture; the coarse one also before and behind the cube."""
        rows = points.transpose(1, 2)
        fine, coarse, embedding = self._evaluate_points(code, rows)
        coarse = coarse * is_inside(rows)
        fine = fine * is_inside(project_to_image(rows))
        return OccupancyOutput(fine[:, None], coarse[:, None], embedding.transpose(1, 2))

    def surface_normals(self, code: EncodedPerson, points: Tensor, step: float = 0.001) -> Tensor:
        """Unit normals [B, 3, N] outwards at points [B, 3, N] near the surface, by forward differences."""
        steps = torch.cat([torch.zeros(1, 3), torch.eye(3)]).to(points) * step
        moved = points.transpose(1, 2)[:, :, None] + steps
        values = torch.unflatten(self._evaluate_points(code, moved.flatten(1, 2))[0], 1, (-1, 4))
        return F.normalize(values[..., :1] - values[..., 1:], dim=-1, eps=1e-8).transpose(1, 2)

    def _evaluate_points(self, code: EncodedPerson, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fine and coarse occupancy [B, N] and the embedding [B, N, E] at points [B, N, 3], not masked."""
        coarse, embedding = self.coarse_mlp(coarse_input(code.coarse, rows))
        fine, _ = self.fine_mlp(fine_input(code.fine, rows, embedding))
        return fine, coarse, embedding


def _cast_like_network(picture: Tensor, network: nn.Module) -> Tensor:
    """Cast ``picture`` to the device, dtype and memory layout that ``network`` computes in."""
    weight = next(network.parameters())
    return picture.to(weight.device, weight.dtype, memory_format=torch.channels_last)


def _to_lookup_layout(features: Tensor) -> Tensor:
    """Convert to float32, channels last: a pixel's channels are looked up a million times."""
    return features.float().contiguous(memory_format=torch.channels_last)
