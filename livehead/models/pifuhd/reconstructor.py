"""The use of PIFuHD's network: from a photo to the field of occupancy, its normals and a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch

from livehead.errors import SourceError
from livehead.figure.mesh import TriangleMesh
from livehead.frames import Image
from livehead.models.engine import ExecutionConfig, optimize_for_inference
from livehead.models.pifuhd import octree
from livehead.models.pifuhd.marching_cubes import extract_surface
from livehead.models.pifuhd.network import EncodedPerson, PifuHdNetwork

Floats: TypeAlias = npt.NDArray[np.float32]

INPUT_SIDE = 512
"""Side, in pixels, of the smaller of the published network's two pictures; the other has twice that."""

_FLOAT32_PARTS = ("coarse_mlp", "fine_mlp")  # a point's position in half precision is off by more than the finest cell
_CHUNK_POINTS = 1 << 14  # points at once: 64 MiB of the widest layer


class BodyReconstructor:
    """Runs ``network`` under ``setting``: ``encode`` once a photo, then evaluate points as often as needed."""

    def __init__(self, network: PifuHdNetwork, setting: ExecutionConfig, side: int = INPUT_SIDE) -> None:
        self.setting = setting
        self.side = side
        self._network = optimize_for_inference(network, setting, _FLOAT32_PARTS)

    @torch.inference_mode()
    def encode(self, image: Image) -> EncodedPerson:
        """Encode a square picture of the person, uint8 [S, S, 3] RGB of any size."""
        return self._network.encode(
            self._image_to_tensor(image, self.side), self._image_to_tensor(image, 2 * self.side)
        )

    def occupancy_field(self, code: EncodedPerson) -> octree.OccupancyField:
        """The function that evaluates the occupancy of points [N, 3], by the fine implicit function."""
        return lambda points: self._evaluate_in_chunks(code, points, lambda c, p: self._network.query(c, p).fine[0, 0])

    def surface_normals(self, code: EncodedPerson, points: Floats) -> Floats:
        """Unit normals [N, 3] of the fine field at points [N, 3] on the surface."""
        return self._evaluate_in_chunks(code, points, lambda c, p: self._network.surface_normals(c, p)[0].T)

    def _image_to_tensor(self, image: Image, side: int) -> torch.Tensor:
        """Convert to a tensor [1, 3, side, side] in [-1, 1], resized bilinearly as in the published code."""
        if image.shape[0] != side:
            image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
        planes = torch.from_numpy(np.ascontiguousarray(image)).to(self.setting.device).permute(2, 0, 1)
        return planes[None].float() / 127.5 - 1

    @torch.inference_mode()
    def _evaluate_in_chunks(
        self, code: EncodedPerson, points: Floats, evaluate: Callable[[EncodedPerson, torch.Tensor], torch.Tensor]
    ) -> Floats:
        values = []
        for start in range(0, len(points), _CHUNK_POINTS):
            part = torch.from_numpy(points[start : start + _CHUNK_POINTS]).to(self.setting.device)
            values.append(evaluate(code, part.T[None]).cpu().numpy())
        return np.concatenate(values)


def extract_body_mesh(
    field: octree.OccupancyField, resolution: int, progress: octree.ProgressCallback | None = None
) -> tuple[TriangleMesh, int]:
    """Extract the one body in ``field`` as a closed mesh, with the number of points evaluated.

    Raises: SourceError when there is no body.
    """
    grid = octree.evaluate_octree(field, resolution, progress=progress)
    mesh = extract_surface(grid)
    if mesh is None:
        raise SourceError("no body came out of the photo", "use a sharp photo of one standing person, head to feet")
    return mesh.largest_component(), grid.evaluated
