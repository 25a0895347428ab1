"""A photo's person as a mesh: everything that is done with PIFuHD's networks, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from livehead.errors import SourceError
from livehead.figure.mesh import Mesh
from livehead.models.engine import Setting, prepare
from livehead.models.pifuhd import octree
from livehead.models.pifuhd.network import PersonCode, PifuHd
from livehead.models.pifuhd.surface import surface

Floats: TypeAlias = npt.NDArray[np.float32]

SIDES = (512, 1024)
"""Of the two pictures that the published networks look at, in pixels."""

_EXACT = ("coarse_mlp", "fine_mlp")  # a point's place in half precision is off by more than the finest cell
_CHUNK = 1 << 14  # points at once: 64 MiB of the widest layer


class Reconstructor:
    """Runs ``network`` under ``setting``: ``look`` once a photo, then ask as often as needed."""

    def __init__(self, network: PifuHd, setting: Setting) -> None:
        self.setting = setting
        self._network = prepare(network, setting, _EXACT)

    @torch.inference_mode()
    def look(self, image: Floats, large: Floats) -> PersonCode:
        """``image`` [1, 3, S, S], ``large`` [1, 3, 2 S, 2 S]: the same RGB in [-1, 1]."""
        device = self.setting.device
        return self._network.encode(torch.from_numpy(image).to(device), torch.from_numpy(large).to(device))

    def field(self, code: PersonCode) -> octree.Field:
        """Occupancy of points [N, 3], by the fine function."""
        return lambda points: self._asked(code, points, lambda c, p: self._network.query(c, p).fine[0, 0])

    def normals(self, code: PersonCode, points: Floats) -> Floats:
        """Unit normals [N, 3] of the fine field at points [N, 3] on the surface."""
        return self._asked(code, points, lambda c, p: self._network.surface_normals(c, p)[0].T)

    @torch.inference_mode()
    def _asked(self, code: PersonCode, points: Floats, ask: Callable[[PersonCode, torch.Tensor], torch.Tensor]) -> Floats:
        answers = []
        for start in range(0, len(points), _CHUNK):
            part = torch.from_numpy(points[start : start + _CHUNK]).to(self.setting.device)
            answers.append(ask(code, part.T[None]).cpu().numpy())
        return np.concatenate(answers)


def body_mesh(
    field: octree.Field, resolution: int, progress: octree.Progress | None = None
) -> tuple[Mesh, int]:
    """The one body in ``field``, closed, and how many points were asked for. Raises: SourceError where there is none."""
    grid = octree.evaluate(field, resolution, progress=progress)
    mesh = surface(grid)
    if mesh is None:
        raise SourceError("no body came out of the photo", "use a sharp photo of one standing person, head to feet")
    return mesh.largest_part(), grid.evaluated
