"""The face as a surface: which point of it each driving pixel shows, where the source has that point, its depth.

The mesh is sampled at fixed points, spaced evenly over the skin. The samples of a frame are splatted into the cells of
a grid, the nearer ones with more weight (a soft z-buffer), and every cell has the mean of its samples. That is a
rasteriser without triangles: a handful of tensor operations for a whole batch, on any device. Empty cells are filled
from coarser grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH, EyeIndices

FloatArray = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer[Any]]

SURFACE_PLANES = 12
"""Planes of a driving map: coverage, displacement x and y, depth here and there, facing here and there, inner mouth,
eye opening, iris, and the place on the face u, v."""

SOURCE_MAP_PLANES = 8
"""Planes of a source map: coverage, depth, facing, inner mouth, eye opening, iris, u, v."""

_DEPTH_FALLOFF = 0.02  # depth by which a nearer sample has e times the weight
_BACK_FACE_WEIGHT = 1e-3  # weight of a sample that faces away
_MIN_CELL_WEIGHT = 1e-8  # least weight of a cell that has a sample


class FaceSurfaceMap(NamedTuple):
    """A driving face's ``planes`` [B, 12, S, S] float32, zero off the face, and ``flow`` [B, S, S, 2], filled there."""

    planes: Tensor
    flow: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _SurfaceSamples:
    """Samples of the mesh: indices of ``corners`` [N, 3], their ``barycentric`` weights [N, 3], and ``labels`` [N, 5]:
    inner mouth, eye opening, iris, u, v."""

    corners: Indices
    barycentric: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]


def _triangulate_strip(upper: Indices, lower: Indices) -> Indices:
    """The triangles between two lines of points with common ends."""
    quads = [(upper[i], upper[i + 1], lower[i + 1], lower[i]) for i in range(len(upper) - 1)]
    halves = [half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))]
    return np.array([half for half in halves if len(set(half)) == 3])


def _triangulate_iris(eye: EyeIndices) -> Indices:
    centre, *rim = eye.iris
    return np.array([(centre, rim[i], rim[(i + 1) % 4]) for i in range(4)])


def _wind_towards_camera(triangles: Indices, mean: FloatArray) -> Indices:
    a, b, c = (mean[triangles[:, i], :2] for i in range(3))
    turn = np.cross(b - a, c - a)
    return np.where(turn[:, None] < 0, triangles[:, ::-1], triangles)


def _sample_triangles(triangles: Indices, mean: FloatArray, spacing: float) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Corners and barycentric weights of the middles of each triangle's n^2 equal parts."""
    a, b, c = (mean[triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    corners, shares = [], []
    for triangle, n in zip(triangles, np.ceil(np.sqrt(area) / spacing).astype(int), strict=True):
        upright = [(i + 1 / 3, j + 1 / 3) for i in range(n) for j in range(n - i)]
        inverted = [(i + 2 / 3, j + 2 / 3) for i in range(n - 1) for j in range(n - 1 - i)]
        part = np.array(upright + inverted) / n
        shares.append(np.column_stack([1 - part.sum(axis=1), part]))
        corners.append(np.repeat(triangle[None], len(part), axis=0))
    return np.concatenate(corners), np.concatenate(shares)


def _sample_mesh(spacing: float) -> _SurfaceSamples:
    mean = load_mean_face()
    eyes = (FACE_MESH.right_eye, FACE_MESH.left_eye)
    parts = [
        (FACE_MESH.triangles, (0, 0, 0), spacing),
        (
            _triangulate_strip(FACE_MESH.mouth.upper, FACE_MESH.mouth.lower),
            (1, 0, 0),
            spacing / 4,
        ),  # thin at rest, wide when it opens
        *((_triangulate_strip(eye.upper, eye.lower), (0, 1, 0), spacing / 2) for eye in eyes),
        *((_triangulate_iris(eye), (0, 1, 1), spacing / 2) for eye in eyes),
    ]
    corners, shares, labels = [], [], []
    for triangles, label, step in parts:
        corner, share = _sample_triangles(_wind_towards_camera(np.asarray(triangles), mean), mean, step)
        place = np.einsum("nk,nkc->nc", share, mean[corner])[:, :2]
        corners.append(corner)
        shares.append(share)
        labels.append(np.column_stack([np.tile(label, (len(corner), 1)), place]))
    return _SurfaceSamples(np.concatenate(corners), np.concatenate(shares), np.concatenate(labels))


class FaceSurface(nn.Module):
    """Rasterises the mesh. ``spacing``: distance of samples on the mean face, whose height is 2."""

    corners: Tensor
    shares: Tensor
    labels: Tensor
    triangles: Tensor
    iris: Tensor
    lids: Tensor
    iris_eye: Tensor

    def __init__(self, spacing: float = 0.03) -> None:
        super().__init__()
        samples = _sample_mesh(spacing)
        for name, array in (("corners", samples.corners), ("shares", samples.barycentric), ("labels", samples.labels)):
            kind = torch.int64 if name == "corners" else torch.float32
            self.register_buffer(name, torch.as_tensor(array, dtype=kind), persistent=False)
        self.register_buffer(
            "triangles", torch.as_tensor(np.array(FACE_MESH.triangles), dtype=torch.int64), persistent=False
        )
        self.register_buffer("iris", self.labels[:, 2] > 0, persistent=False)
        lids = [(eye.upper[4], eye.lower[4]) for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye)]
        self.register_buffer("lids", torch.tensor(lids), persistent=False)
        of_left = self.corners[:, 0] >= int(FACE_MESH.left_eye.iris[0])
        self.register_buffer("iris_eye", of_left[self.iris].long(), persistent=False)

    @torch.no_grad()
    def source_map(self, points: Tensor, side: int) -> Tensor:
        """The map [B, 8, side, side] of a source mesh [B, 478, 3]."""
        here = self._interpolate_samples(self._append_facing(points))
        values = torch.cat([here[..., 2:4], self.labels.expand(len(points), -1, -1)], dim=-1)
        _, planes = self._splat_samples(here, self._sample_weights(points, here), values, side)
        return planes

    @torch.no_grad()
    def forward(self, driving: Tensor, source: Tensor, side: int) -> FaceSurfaceMap:
        """The map of a driving mesh [B, 478, 3], with the flow to a source mesh [B, 478, 3]."""
        sampled = self._interpolate_samples(
            torch.cat([self._append_facing(driving), self._append_facing(source)], dim=-1)
        )
        here, there = sampled[..., :4], sampled[..., 4:]
        pieces = [there[..., :2] - here[..., :2], here[..., 2:3], there[..., 2:3], here[..., 3:], there[..., 3:]]
        values = torch.cat([*pieces, self.labels.expand(len(driving), -1, -1)], dim=-1)
        filled, planes = self._splat_samples(here, self._sample_weights(driving, here), values, side)
        return FaceSurfaceMap(planes, (filled[:, 1:3] / filled[:, :1]).movedim(1, -1))

    def _append_facing(self, points: Tensor) -> Tensor:
        """Append to points [B, 478, 3] the cosine between their normal and the direction to the camera."""
        a, b, c = (points[:, self.triangles[:, i]] for i in range(3))
        normal = torch.linalg.cross(b - a, c - a)
        at_points = torch.zeros_like(points)
        for i in range(3):
            at_points.index_add_(1, self.triangles[:, i], normal)
        facing = at_points[..., 2:] / at_points.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        return torch.cat([points, facing], dim=-1).float()

    def _interpolate_samples(self, rows: Tensor) -> Tensor:
        """Interpolate attributes [B, 478, C] of the points at the samples: [B, N, C]."""
        batch, count, width = rows.shape
        corners = self.corners + (torch.arange(batch, device=rows.device) * count)[:, None, None]
        shares = self.shares.expand(batch, -1, -1).reshape(-1, 3)
        sampled = F.embedding_bag(corners.view(-1, 3), rows.reshape(-1, width), per_sample_weights=shares, mode="sum")
        return sampled.view(batch, -1, width)

    def _sample_weights(self, points: Tensor, here: Tensor) -> Tensor:
        """Weights [B, N] of the samples [B, N, 4] in their cells: higher for nearer ones, low for those turned away."""
        nearer = (points[..., 2].mean(dim=1, keepdim=True) - here[..., 2]) / _DEPTH_FALLOFF
        weight = nearer.clamp(-30, 30).exp() * torch.where(
            here[..., 3] < 0, _BACK_FACE_WEIGHT, 1.0
        )  # irises have no normal: 0
        weight[:, self.iris] = weight[:, self.iris] * self._iris_weights(points, here)
        return weight

    def _iris_weights(self, points: Tensor, place: Tensor) -> Tensor:
        """Weights of the irises' samples: 50 within the eye's opening (drawn over the white of the eye), else 0."""
        upper, lower = points[:, self.lids[:, 0], :2], points[:, self.lids[:, 1], :2]
        open_ = upper - lower
        sample = place[:, self.iris, :2] - lower[:, self.iris_eye]
        along = (sample * open_[:, self.iris_eye]).sum(-1) / (open_**2).sum(-1)[:, self.iris_eye].clamp_min(1e-9)
        return torch.where((along > 0) & (along < 1), 50.0, 0.0)

    def _splat_samples(self, place: Tensor, weight: Tensor, values: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Sum weights and weighted ``values`` [B, N, C] in cells and fill the empty ones: [B, 1 + C, side, side].

        The second result, the map, holds coverage, then the values' means times coverage. Both are channels last.
        """
        batch = len(place)
        cell = ((place[..., :2] + 1) * (side / 2)).floor()
        inside = ((cell >= 0) & (cell < side)).all(dim=-1)
        cell = cell.clamp(0, side - 1).long()
        index = cell[..., 1] * side + cell[..., 0] + torch.arange(batch, device=place.device)[:, None] * side * side
        rows = torch.cat([torch.ones_like(weight)[..., None], values], dim=-1) * (weight * inside)[..., None]
        rows = rows.view(-1, values.shape[-1] + 1)
        total = rows.new_zeros(batch * side * side, rows.shape[1]).index_add_(0, index.view(-1), rows)
        total = total.view(batch, side, side, -1).permute(0, 3, 1, 2)
        seen = (total[:, :1] > _MIN_CELL_WEIGHT).float().contiguous()
        # An empty cell between covered ones counts as covered: samples are not infinitely dense.
        coverage = (F.avg_pool2d(seen, 3, 1, 1) * 2).clamp_max(1)
        filled = _fill_empty_cells(total)
        return filled, filled * (coverage / filled[:, :1])


def _fill_empty_cells(total: Tensor) -> Tensor:
    """Fill empty cells of sums [B, C, S, S] (plane 0: the weights) from coarser and coarser grids."""
    side = total.shape[-1]
    if side % 2 or side <= 4:
        return total + 1e-20 * torch.cat([torch.ones_like(total[:, :1]), torch.zeros_like(total[:, 1:])], dim=1)
    coarse = _fill_empty_cells(F.avg_pool2d(total, 2))
    return total + 1e-4 * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
