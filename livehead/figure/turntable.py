"""A mesh from all sides: turning pictures, and a sheet of eight views."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from livehead.figure.mesh import TriangleMesh
from livehead.figure.rasterizer import rasterize
from livehead.figure.vertex_colours import normals_to_colours
from livehead.frames import Image

_BACKGROUND_COLOUR = (236, 238, 242)
_FILL_RATIO = 0.92  # of the picture's side that the figure takes
_SUPERSAMPLING = 2  # samples a pixel along each axis
_AMBIENT_LIGHT = 0.35  # share of the light that comes from everywhere; the rest comes from the viewer
_SHEET_VIEWS = 8


def render_turntable(mesh: TriangleMesh, count: int, side: int) -> Iterator[Image]:
    """``count`` views uint8 [side, side, 3] RGB in the mesh's colours: once about the vertical, the front first."""
    normals = mesh.vertex_normals()
    colours = mesh.colours if mesh.colours is not None else np.full((len(normals), 3), 200, np.uint8)
    for step in range(count):
        yield _render_view(mesh, normals, colours, 2 * np.pi * step / count, side, shaded=True)


def render_view_sheet(mesh: TriangleMesh, side: int) -> Image:
    """Eight views in a row, above in the mesh's colours, below in those of its normals: [2 side, 8 side, 3]."""
    normals = mesh.vertex_normals()
    above = list(render_turntable(mesh, _SHEET_VIEWS, side))
    below = []
    for step in range(_SHEET_VIEWS):
        angle = 2 * np.pi * step / _SHEET_VIEWS
        below.append(
            _render_view(
                mesh, normals, normals_to_colours(normals @ _rotation_about_y(angle)), angle, side, shaded=False
            )
        )
    return np.vstack([np.hstack(above), np.hstack(below)])


def _rotation_about_y(angle: float) -> npt.NDArray[np.float32]:
    """[3, 3], to be multiplied from the right: about the vertical axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)


def _render_view(
    mesh: TriangleMesh, normals: npt.NDArray[np.float32], colours: Image, angle: float, side: int, *, shaded: bool
) -> Image:
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    middle, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    reach = max(float((high - low)[1]) / 2, float(np.hypot((high - low)[0], (high - low)[2])) / 2, reach * 1e-3, 1e-9)
    large = side * _SUPERSAMPLING
    points = (
        (mesh.vertices - middle) @ _rotation_about_y(angle) * (np.array([1, -1, 1]) * _FILL_RATIO * large / 2 / reach)
    )
    points[:, :2] += large / 2
    fragments = rasterize(points.astype(np.float32), mesh.faces, large, large)
    picture = np.empty((large, large, 3), np.float32)
    picture[:] = _BACKGROUND_COLOUR
    seen = fragments.interpolate(colours, mesh.faces)
    if shaded:
        facing = fragments.interpolate((normals @ _rotation_about_y(angle))[:, 2:], mesh.faces).clip(0, 1)
        seen = seen * (_AMBIENT_LIGHT + (1 - _AMBIENT_LIGHT) * facing)
    picture[fragments.rows, fragments.columns] = seen
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.rint(small).clip(0, 255).astype(np.uint8)
