"""The mean of many neutral faces: what meshes of different people are compared with."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from livehead.motion.keypoints import Array


def load_mean_face() -> Array:
    """Load the mesh [478, 3] of the mean face, upright and looking into the camera; chin to forehead span 2."""
    return _load_arrays()[0]


def load_mirror_indices() -> npt.NDArray[np.int64]:
    """Load, for each point of the mesh [478], the index of its mirror image on the other side of the face."""
    return _load_arrays()[1]


@cache
def _load_arrays() -> tuple[Array, npt.NDArray[np.int64]]:
    with (files("livehead.assets") / "face_mean.npz").open("rb") as stored, np.load(stored) as arrays:
        return arrays["mean"].astype(np.float32), arrays["mirror"].astype(np.int64)
