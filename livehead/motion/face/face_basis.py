"""Face meshes as few numbers: the head's pose, and what is left of the face in a fixed linear basis.

A mesh [478, 3] is carried by the head's motion to a mean face, which is 1 in size (the root mean square distance of its
points from their middle); the difference from it, 1434 numbers, is a sum of rows of the basis. Who it is and what the
face does are in the same rows, so that one mesh needs nothing of any other. The rows were learned from talking heads
and portraits by ``livehead/training/fits/face_basis.py`` (principal components).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from livehead.motion.face.head import HeadMotion, fit_head_motion
from livehead.motion.keypoints import Array

_FLAT_SIZE = 478 * 3


@dataclass(frozen=True, eq=False)
class FaceBasis:
    """A linear basis of face meshes: the ``mean`` float32 [478, 3], and ``rows`` that are scaled by ``scale``.

    ``rows`` int8 [K, 1434] hold x, y, depth of point 0, then of point 1, ...; with ``scale`` float32 [K], row ``k`` of
    the basis is ``scale[k] * rows[k]``, about 1 in length, the most telling first.
    """

    mean: Array
    rows: npt.NDArray[np.int8]
    scale: Array

    def __post_init__(self) -> None:
        count = len(self.scale)
        expected = ((self.mean, np.float32, (478, 3)), (self.rows, np.int8, (count, _FLAT_SIZE)))
        for array, kind, shape in (*expected, (self.scale, np.float32, (count,))):
            if array.shape != shape or array.dtype != kind:
                raise ValueError(f"a face basis has {kind.__name__} {shape}, got {array.dtype} {array.shape}")

    @property
    def size(self) -> int:
        """The number of rows, K."""
        return len(self.scale)

    @cached_property
    def checksum(self) -> int:
        """The CRC-32 of the little-endian bytes of mean, rows and scale, in this order, which tells bases apart."""
        parts = (self.mean.astype("<f4"), self.rows, self.scale.astype("<f4"))
        return zlib.crc32(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))

    @cached_property
    def _matrix(self) -> Array:
        return np.asarray(self.rows * self.scale[:, None], np.float32)

    @cached_property
    def _pseudo_inverse(self) -> Array:
        # rounding to 8 bits has turned the rows a little against each other
        return np.asarray(np.linalg.pinv(self._matrix.astype(np.float64)), np.float32)

    def fit_pose(self, points: Array) -> HeadMotion:
        """The motion that carries the mean face's skull to that of the mesh ``points`` [478, 3]."""
        return fit_head_motion(self.mean, points)

    def encode(self, points: Array, pose: HeadMotion) -> Array:
        """Return the coefficients [K] of the mesh ``points`` [478, 3], by least squares; ``pose`` may be rounded."""
        difference = pose.inverse().apply(points) - self.mean
        return np.asarray(difference.ravel() @ self._pseudo_inverse, np.float32)

    def decode(self, coefficients: Array, pose: HeadMotion) -> Array:
        """Return the mesh [478, 3] of ``coefficients`` [K] in ``pose``."""
        return pose.apply(self.mean + (coefficients @ self._matrix).reshape(478, 3))


@cache
def load_face_basis() -> FaceBasis:
    """Load the bundled basis."""
    with (files("livehead.assets") / "face_basis.npz").open("rb") as stored, np.load(stored) as arrays:
        return FaceBasis(arrays["mean"], arrays["rows"], arrays["scale"])
