"""How the points of one moment become bytes: face meshes by pose and basis, any other set as rounded differences.

All numbers are little-endian. docs/motion-format.md describes every byte.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.errors import ProtocolError
from livehead.motion.face.face_basis import FaceBasis
from livehead.motion.face.head import HeadMotion
from livehead.motion.keypoints import Array

QuantizedPoints = npt.NDArray[np.int64]

POSITION_STEP = 1 / 8192
"""The step of rounded positions in the unit of key points: 0.016 pixels of a picture of 256."""

_COEFFICIENT_STEP = 1 / 256  # about 0.007 pixels at 256, for a face that fills the picture
_WIDE_COEFFICIENTS = 32  # coefficients of 16 bits, the rest has 8
_QUATERNION_SCALE = 32767
_POSE_STRUCT = struct.Struct("<7h")
_MAX_QUANTIZED = 1 << 24  # of a rounded number: 2048 units
_VARINT_BYTES = 4
_BROKEN_PACKET = "a packet of motion is broken"


@dataclass(frozen=True, slots=True, eq=False)
class PointArrays:
    """The points of one moment: ``value`` [K, 2], ``depth`` [K], ``jacobian`` [K, 2, 2]; float32."""

    value: Array
    depth: Array | None
    jacobian: Array | None


class FaceMeshCodec:
    """Codes meshes of ``mesh478`` as 7 numbers for the pose, then the coefficients. Each body stands for itself."""

    def __init__(self, basis: FaceBasis) -> None:
        self._basis = basis
        self._wide_count = min(_WIDE_COEFFICIENTS, basis.size)
        self.body_bytes = _POSE_STRUCT.size + 2 * self._wide_count + (basis.size - self._wide_count)
        """The length of every body."""

    def encode(self, places: PointArrays) -> bytes:
        """The bytes of a mesh with depth."""
        assert places.depth is not None
        points = np.concatenate([places.value, places.depth[:, None]], axis=1)
        numbers = _quantize_pose(self._basis.fit_pose(points))
        # fitted to the pose as it will be read, so that rounding the pose costs nothing
        coefficients = np.rint(self._basis.encode(points, _dequantize_pose(numbers)) / _COEFFICIENT_STEP)
        wide = coefficients[: self._wide_count].clip(-32768, 32767).astype("<i2")
        narrow = coefficients[self._wide_count :].clip(-128, 127).astype(np.int8)
        packed: bytes = _POSE_STRUCT.pack(*numbers) + wide.tobytes() + narrow.tobytes()
        return packed

    def decode(self, body: bytes) -> PointArrays:
        """The mesh that ``encode`` wrote. Raises: ProtocolError."""
        if len(body) != self.body_bytes:
            raise ProtocolError(_BROKEN_PACKET, "update livehead at both ends")
        wide = np.frombuffer(body, "<i2", self._wide_count, _POSE_STRUCT.size).astype(np.float32)
        narrow = np.frombuffer(body, np.int8, -1, _POSE_STRUCT.size + 2 * self._wide_count).astype(np.float32)
        coefficients = np.concatenate([wide, narrow]) * np.float32(_COEFFICIENT_STEP)
        points = self._basis.decode(coefficients, _dequantize_pose(_POSE_STRUCT.unpack_from(body)))
        return PointArrays(points[:, :2].copy(), points[:, 2].copy(), None)


class PointSetCodec:
    """Rounds any set of ``points`` points to steps, which are sent as a keyframe or as a delta from an earlier one."""

    def __init__(self, points: int, *, depth: bool, jacobian: bool) -> None:
        self._point_count = points
        self._depth, self._jacobian = depth, jacobian
        self.number_count = points * (2 + depth + 4 * jacobian)

    def quantize(self, places: PointArrays) -> QuantizedPoints:
        """All numbers of ``places`` in steps."""
        parts = [part.ravel() for part in (places.value, places.depth, places.jacobian) if part is not None]
        steps = np.rint(np.concatenate(parts).astype(np.float64) / POSITION_STEP)
        return np.asarray(steps.clip(-_MAX_QUANTIZED, _MAX_QUANTIZED), np.int64)

    def dequantize(self, steps: QuantizedPoints) -> PointArrays:
        """The inverse of ``quantize``, to within half a step."""
        numbers = (steps * POSITION_STEP).astype(np.float32)
        value, rest = numbers[: 2 * self._point_count], numbers[2 * self._point_count :]
        depth = rest[: self._point_count] if self._depth else None
        jacobian = rest[self._point_count * self._depth :].reshape(-1, 2, 2) if self._jacobian else None
        return PointArrays(value.reshape(-1, 2), depth, jacobian)

    def unpack_quantized(self, body: bytes) -> QuantizedPoints:
        """The steps in ``body``. Raises: ProtocolError unless they are ``number_count`` numbers within their range."""
        steps = unpack_varints(body, self.number_count)
        if np.abs(steps).max(initial=0) > 2 * _MAX_QUANTIZED:
            raise ProtocolError(_BROKEN_PACKET, "update livehead at both ends")
        return steps


def pack_varints(numbers: QuantizedPoints) -> bytes:
    """Pack each number as zigzag (0, -1, 1, -2 become 0, 1, 2, 3) in groups of seven bits, the lowest first.

    Bit 7 is set in all but a number's last byte.
    """
    zigzag = (numbers << 1) ^ (numbers >> 63)
    limits = 1 << 7 * np.arange(1, _VARINT_BYTES)
    lengths = 1 + (zigzag[:, None] >= limits).sum(axis=1)
    starts = np.cumsum(lengths) - lengths
    packed = np.zeros(int(lengths.sum()), np.uint8)
    for count in range(_VARINT_BYTES):
        there = lengths > count
        more = np.where(lengths[there] > count + 1, 128, 0)
        packed[starts[there] + count] = (zigzag[there] >> 7 * count & 127) | more
    return packed.tobytes()


def unpack_varints(body: bytes, count: int) -> QuantizedPoints:
    """The inverse of ``pack_varints``. Raises: ProtocolError unless ``body`` is exactly ``count`` numbers."""
    data = np.frombuffer(body, np.uint8).astype(np.int64)
    ends = np.flatnonzero(data < 128)
    if len(ends) != count or (count and ends[-1] != len(data) - 1) or (not count and len(data)):
        raise ProtocolError(_BROKEN_PACKET, "update livehead at both ends")
    starts = np.concatenate([[0], ends[:-1] + 1])[:count]
    lengths = ends - starts + 1
    if lengths.max(initial=0) > _VARINT_BYTES:
        raise ProtocolError(_BROKEN_PACKET, "update livehead at both ends")
    zigzag = np.zeros(count, np.int64)
    for place in range(_VARINT_BYTES):
        there = lengths > place
        zigzag[there] |= (data[starts[there] + place] & 127) << 7 * place
    return (zigzag >> 1) ^ -(zigzag & 1)


def _quantize_pose(pose: HeadMotion) -> tuple[int, ...]:
    """x, y, z of the rotation's quaternion, the logarithm of the scale, and the shift, in their steps."""
    quaternion = np.rint(_rotation_to_quaternion(pose.rotation)[:3] * _QUATERNION_SCALE)
    rest = np.rint(np.array([math.log(max(pose.scale, 1e-9)), *pose.shift]) / POSITION_STEP).clip(-32768, 32767)
    return tuple(int(number) for number in (*quaternion, *rest))


def _dequantize_pose(numbers: tuple[int, ...]) -> HeadMotion:
    x, y, z = (number / _QUATERNION_SCALE for number in numbers[:3])
    length = max(math.sqrt(x * x + y * y + z * z), 1.0)  # 16 bits can tell more than a rotation
    x, y, z = x / length, y / length, z / length
    w = math.sqrt(max(1 - x * x - y * y - z * z, 0.0))
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    shift = np.array(numbers[4:], np.float32) * np.float32(POSITION_STEP)
    return HeadMotion(math.exp(numbers[3] * POSITION_STEP), np.array(rotation, np.float32), shift)


def _rotation_to_quaternion(rotation: Array) -> npt.NDArray[np.float64]:
    """x, y, z, w with w >= 0: the eigenvector of the largest eigenvalue (Bar-Itzhack, "New method for extracting the
    quaternion from a rotation matrix", 2000), which is well conditioned for every rotation."""
    r = rotation.astype(np.float64)
    symmetric = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [0, r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [0, 0, r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [0, 0, 0, r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    vector = np.linalg.eigh(symmetric, UPLO="U")[1][:, -1]
    return np.asarray(vector if vector[3] >= 0 else -vector, np.float64)
