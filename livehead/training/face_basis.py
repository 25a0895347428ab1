"""Learns the linear basis of ``livehead.motion.face_basis`` from the meshes of a training cache.

Principal components of what is left of each mesh once its skull is carried to that of the mean face. A clip of T frames
weighs as much as sqrt(T) stills: its frames tell how a face moves, but of one person only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from livehead.errors import ConfigError
from livehead.motion.face_basis import FaceBasis
from livehead.motion.head import fit_head
from livehead.motion.keypoints import Array
from livehead.training.cache import ClipEntry, decode_landmarks, read_index

ROWS = 112
_ROUNDS = 3  # of fitting all faces to their mean; the third changes it by less than 1e-3


def read_meshes(folder: Path, entry: ClipEntry) -> Array:
    """The meshes [T, 478, 3] of one clip, without its pictures."""
    with np.load(folder / f"{entry.name}.npz") as stored:
        return decode_landmarks(stored["landmarks"])


def learn_face_basis(folder: Path, rows: int = ROWS) -> FaceBasis:
    """From the training clips of the cache ``folder``. Raises: ConfigError when it is none, or too small."""
    clips = [read_meshes(folder, entry) for entry in read_index(folder) if entry.split == "train"]
    if sum(map(len, clips)) < rows:
        raise ConfigError(f"{folder} has too few faces for a basis of {rows} rows", "prepare more clips")
    mean = _mean_face(clips)
    left = [_fitted(clip, mean) - mean for clip in clips]
    weighted = [part.reshape(len(part), -1).astype(np.float64) / len(part) ** 0.25 for part in left]
    covariance = sum((part.T @ part for part in weighted), np.zeros((mean.size, mean.size)))
    _, components = np.linalg.eigh(covariance)
    return _rounded(mean, components[:, ::-1][:, :rows].T)


def _mean_face(clips: list[Array]) -> Array:
    """Of the clips' first frames; its middle is 0 and its size 1."""
    firsts = np.stack([clip[0] for clip in clips])
    mean = firsts[0]
    for _ in range(_ROUNDS):
        mean = _fitted(firsts, mean).mean(axis=0)
        mean = mean - mean.mean(axis=0)
        mean = (mean / np.sqrt((mean**2).sum(axis=1).mean())).astype(np.float32)
    return mean


def _fitted(meshes: Array, mean: Array) -> Array:
    return np.stack([fit_head(mesh, mean).apply(mesh) for mesh in meshes])


def _rounded(mean: Array, components: npt.NDArray[np.float64]) -> FaceBasis:
    """``components`` [K, 1434] as bytes; the largest number of each row becomes positive, so that signs are fixed."""
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    scale = largest / 127
    return FaceBasis(mean, np.rint(components / scale[:, None]).astype(np.int8), np.abs(scale).astype(np.float32))
