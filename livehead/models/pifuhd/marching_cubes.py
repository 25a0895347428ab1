"""From occupancy to a closed surface: marching cubes (Lewiner et al., "Efficient Implementation of Marching Cubes'
Cases with Topological Guarantees", 2003; scikit-image's)."""

from __future__ import annotations

import numpy as np

from livehead.figure.mesh import TriangleMesh
from livehead.models.pifuhd.octree import SURFACE_LEVEL, OccupancyGrid


def extract_surface(grid: OccupancyGrid) -> TriangleMesh | None:
    """The surface of what is inside, with normals outwards, closed where the body leaves the grid; None if empty."""
    from skimage.measure import marching_cubes

    inside = grid.values > SURFACE_LEVEL
    spans = [np.flatnonzero(inside.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    if not spans[0].size:
        return None
    # Only the bounding box is searched: a body takes a tenth of the cube.
    first = np.array([max(int(span[0]) - 1, 0) for span in spans])
    last = [int(span[-1]) + 2 for span in spans]
    part = grid.values[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    found = marching_cubes(np.pad(part, 1), SURFACE_LEVEL, allow_degenerate=False)  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    vertices, faces, _, _ = found
    places = (vertices - 1 + first) * grid.scale + grid.offset
    if np.prod(grid.scale) > 0:
        faces = faces[:, ::-1]  # scikit-image winds them for its own order of axes
    return TriangleMesh(places.astype(np.float32), np.ascontiguousarray(faces, np.int32))
