import numpy as np
import pytest


@pytest.fixture(scope="session")
def body():
    """The analytic body of the octree fixture: occupancy of points [N, 3]."""

    def occupancy(points):
        x, y, z = points.T.astype(np.float64)
        height = (x / 0.6) ** 2 + (y / 0.85) ** 2 + (z / 0.4) ** 2 - 1 + 0.2 * np.sin(9 * x) * np.sin(7 * y)
        return (1 / (1 + np.exp(40 * height))).astype(np.float32)

    return occupancy
