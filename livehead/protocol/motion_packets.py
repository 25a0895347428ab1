"""Motion over the network: a header that says what is sent, then a packet for each moment. No I/O here.

A packet of a face mesh stands for itself. One of any other set is a keyframe once a second and a delta from the last
keyframe otherwise, so that a packet lost in between never matters. docs/motion-format.md describes every byte.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from livehead.clock import NS
from livehead.errors import ConfigError, ProtocolError
from livehead.motion.face.face_basis import load_face_basis
from livehead.motion.keypoints import MESH478, Array, FaceSighting, Keypoints
from livehead.protocol.motion_coding import (
    POSITION_STEP,
    FaceMeshCodec,
    PointArrays,
    PointSetCodec,
    QuantizedPoints,
    pack_varints,
)

MAGIC, VERSION = b"LHMW", 1
MAX_POINTS = 1024
MAX_PACKET_BYTES = 32 * 1024
"""The most bytes that a packet may have; the largest that is written has 28 kB."""

_HEADER_STRUCT = struct.Struct("<4sBBHHBBI")
_PACKET_STRUCT = struct.Struct("<BBHI")
_SEQUENCE_STRUCT = struct.Struct("<H")
_TORSO_STRUCT = struct.Struct("<6h")
_SIGHTING_STRUCT = struct.Struct("<3B")
_KIND_UNSEEN, _KIND_KEYFRAME, _KIND_DELTA, _FLAG_TORSO, _FLAG_SIGHTING = 0, 1, 2, 4, 8
_KEYFRAME_INTERVAL_NS = NS
_KEPT_KEYFRAMES = 2  # that a decoder remembers: packets may overtake each other
_SET_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UPDATE_REMEDY = "update livehead at both ends"


@dataclass(frozen=True, slots=True)
class MotionHeader:
    """What is sent: ``set`` of ``points`` points, with ``depth`` and ``jacobian`` or without, ``fps`` times a second.

    ``coding``: ``face`` by the basis of that number, ``plain`` otherwise.
    """

    set: str
    points: int
    fps: float
    depth: bool
    jacobian: bool
    coding: Literal["plain", "face"]
    basis: int = 0

    @classmethod
    def for_motion(cls, keypoints: Keypoints, fps: float) -> MotionHeader:
        """The header of motion like ``keypoints``. Raises: ConfigError when it cannot be sent."""
        count, points = keypoints.value.shape[:2]
        depth, jacobian = keypoints.depth is not None, keypoints.jacobian is not None
        if count != 1 or not 1 <= points <= MAX_POINTS or not _SET_NAME_PATTERN.fullmatch(keypoints.set):
            raise ConfigError(f"motion of {keypoints.set} cannot be sent", f"one performer, up to {MAX_POINTS} points")
        face = keypoints.set == MESH478 and depth and not jacobian
        number = load_face_basis().checksum if face else 0
        return cls(keypoints.set, points, fps, depth, jacobian, "face" if face else "plain", number)

    def pack(self) -> bytes:
        """The bytes of the header, as docs/motion-format.md describes them."""
        name = self.set.encode("ascii")
        parts, rate = self.depth | self.jacobian << 1, round(min(max(self.fps, 0.01), 655.0) * 100)
        coding = self.coding == "face"
        return _HEADER_STRUCT.pack(MAGIC, VERSION, coding, self.points, rate, parts, len(name), self.basis) + name

    @classmethod
    def unpack(cls, data: bytes) -> MotionHeader:
        """The header in ``data``. Raises: ProtocolError for anything but a header of this version."""
        if data[:4] != MAGIC:
            raise ProtocolError("this is no motion", "send what docs/motion-format.md describes")
        if len(data) > 4 and data[4] != VERSION:
            raise ProtocolError(f"motion of version {data[4]} is not known, only {VERSION}", _UPDATE_REMEDY)
        if len(data) < _HEADER_STRUCT.size:
            raise ProtocolError("the header of a motion is cut short", _UPDATE_REMEDY)
        _, _, coding, points, rate, parts, length, basis = _HEADER_STRUCT.unpack_from(data)
        name = data[_HEADER_STRUCT.size :].decode("ascii", "replace")
        if (
            len(name) != length
            or not _SET_NAME_PATTERN.fullmatch(name)
            or not 1 <= points <= MAX_POINTS
            or parts > 3
            or not rate
        ):
            raise ProtocolError("the header of a motion is broken", _UPDATE_REMEDY)
        depth, jacobian = bool(parts & 1), bool(parts & 2)
        if coding == 1:
            if (name, points, parts) != (MESH478, 478, 1):
                raise ProtocolError("the header of a motion is broken", _UPDATE_REMEDY)
            if basis != load_face_basis().checksum:
                raise ProtocolError("the motion of faces is sent by another basis than is known here", _UPDATE_REMEDY)
        elif coding != 0 or basis:
            raise ProtocolError("the motion is coded in a way that is not known", _UPDATE_REMEDY)
        return cls(name, points, rate / 100, depth, jacobian, "face" if coding else "plain", basis)


class MotionPacketEncoder:
    """Encodes motion as packets: the same motion gives the same bytes."""

    def __init__(self, example: Keypoints, fps: float) -> None:
        """``example``: any moment of the motion. Raises: ConfigError when it cannot be sent."""
        self.header = MotionHeader.for_motion(example, fps)
        self._face_codec = FaceMeshCodec(load_face_basis()) if self.header.coding == "face" else None
        self._point_codec = _make_point_codec(self.header)
        self._sequence = -1
        self._keyframe: tuple[int, int, QuantizedPoints] | None = None  # sequence, time, numbers

    def force_keyframe(self) -> None:
        """Make the next packet a keyframe, as a new receiver needs it."""
        self._keyframe = None

    def accepts(self, keypoints: Keypoints) -> bool:
        """Tell whether ``keypoints`` are of the kind that the header says."""
        header = self.header
        parts = (keypoints.set, keypoints.value.shape[:2], keypoints.depth is not None, keypoints.jacobian is not None)
        return parts == (header.set, (1, header.points), header.depth, header.jacobian)

    def encode(self, keypoints: Keypoints) -> bytes:
        """The packet of the next moment. Raises: ConfigError when it is not of the kind that the header says."""
        if not self.accepts(keypoints):
            raise ConfigError(f"motion of {self.header.set} turned into one of {keypoints.set}", "start anew")
        self._sequence = (self._sequence + 1) & 0xFFFF
        kind, body = self._encode_body(keypoints)
        flags, torso, sighting = kind, b"", _pack_sighting(keypoints)
        if sighting:
            flags |= _FLAG_SIGHTING
        if keypoints.torso is not None and np.isfinite(keypoints.torso).all():
            flags |= _FLAG_TORSO
            torso = _TORSO_STRUCT.pack(
                *np.rint(keypoints.torso.ravel() / POSITION_STEP).clip(-32768, 32767).astype(int).tolist()
            )
        confidence = 0 if kind == _KIND_UNSEEN else min(max(round(float(keypoints.confidence[0]) * 255), 1), 255)
        time_us = keypoints.captured_ns // 1000 & 0xFFFFFFFF
        return _PACKET_STRUCT.pack(flags, confidence, self._sequence, time_us) + torso + sighting + body

    def _encode_body(self, keypoints: Keypoints) -> tuple[int, bytes]:
        arrays = [array[0] for array in (keypoints.value, keypoints.depth, keypoints.jacobian) if array is not None]
        if not keypoints.seen or not all(np.isfinite(array).all() for array in arrays):
            return _KIND_UNSEEN, b""
        depth = None if keypoints.depth is None else keypoints.depth[0]
        places = PointArrays(keypoints.value[0], depth, None if keypoints.jacobian is None else keypoints.jacobian[0])
        if self._face_codec is not None:
            return _KIND_KEYFRAME, self._face_codec.encode(places)
        numbers = self._point_codec.quantize(places)
        if self._keyframe is not None and 0 <= keypoints.captured_ns - self._keyframe[1] < _KEYFRAME_INTERVAL_NS:
            return _KIND_DELTA, _SEQUENCE_STRUCT.pack(self._keyframe[0]) + pack_varints(numbers - self._keyframe[2])
        self._keyframe = self._sequence, keypoints.captured_ns, numbers
        return _KIND_KEYFRAME, pack_varints(numbers)


def _pack_sighting(keypoints: Keypoints) -> bytes:
    """Pack whose face it is and what is hidden of it; nothing for the first person while all is to be seen.

    So most packets are those that readers of before know.
    """
    seen = keypoints.sighting
    if seen is None or not keypoints.seen or (seen.performer == 1 and max(seen.lips_hidden, seen.eyes_hidden) <= 0):
        return b""
    shares = (min(max(round(share * 255), 0), 255) for share in (seen.lips_hidden, seen.eyes_hidden))
    return _SIGHTING_STRUCT.pack(1 + (seen.performer - 1) % 255, *shares)


def _unpack_sighting(body: bytes) -> FaceSighting:
    """Read what ``_pack_sighting`` wrote. Raises: ProtocolError."""
    if len(body) < _SIGHTING_STRUCT.size:
        raise ProtocolError("a packet of motion is cut short", _UPDATE_REMEDY)
    performer, lips, eyes = _SIGHTING_STRUCT.unpack_from(body)
    return FaceSighting(performer, lips_hidden=lips / 255, eyes_hidden=eyes / 255)


class MotionPacketDecoder:
    """Decodes packets to motion, whatever is lost, doubled or out of order on the way; the newest wins.

    ``lost_packets`` never came or came too late; ``undecodable_packets`` came, but not the keyframe before them.
    """

    def __init__(self, header: bytes) -> None:
        """Raises: ProtocolError."""
        self.header = MotionHeader.unpack(header)
        self.lost_packets = self.undecodable_packets = 0
        self._face_codec = FaceMeshCodec(load_face_basis()) if self.header.coding == "face" else None
        self._point_codec = _make_point_codec(self.header)
        self._keyframes: dict[int, QuantizedPoints] = {}
        self._sequence: int | None = None
        self._time_us = 0
        self._last_points = _zero_points(self.header)

    def decode(self, packet: bytes) -> Keypoints | None:
        """The motion in ``packet``, ``captured_ns`` on the sender's clock from a start of its own; None where it tells
        nothing new. Unseen points stay where they were.

        Raises: ProtocolError; the decoder then goes on as if the packet had not come.
        """
        if not _PACKET_STRUCT.size <= len(packet) <= MAX_PACKET_BYTES:
            raise ProtocolError("a packet of motion is too short or too long", _UPDATE_REMEDY)
        flags, confidence, sequence, time_us = _PACKET_STRUCT.unpack_from(packet)
        kind, body = flags & 3, packet[_PACKET_STRUCT.size :]
        if flags > 15 or kind > _KIND_DELTA or (confidence == 0) != (kind == _KIND_UNSEEN):
            raise ProtocolError("a packet of motion is of no known kind", _UPDATE_REMEDY)
        torso: Array | None = None
        if flags & _FLAG_TORSO:
            if len(body) < _TORSO_STRUCT.size:
                raise ProtocolError("a packet of motion is cut short", _UPDATE_REMEDY)
            torso = (np.array(_TORSO_STRUCT.unpack_from(body), np.float32) * np.float32(POSITION_STEP)).reshape(1, 3, 2)
            body = body[_TORSO_STRUCT.size :]
        sighting: FaceSighting | None = None
        if flags & _FLAG_SIGHTING:
            sighting, body = _unpack_sighting(body), body[_SIGHTING_STRUCT.size :]
        places = self._decode_points(kind, body, sequence)
        if not self._accept_sequence(sequence, time_us):
            return None
        if places is None:
            self.undecodable_packets += 1
            return None
        self._last_points = places
        found = self._to_keypoints(places, confidence / 255, self._time_us * 1000, torso)
        return replace(found, sighting=sighting)

    def unseen_motion(self, captured_ns: int) -> Keypoints:
        """The last points (zeros before the first), of which none is seen at ``captured_ns``."""
        return self._to_keypoints(self._last_points, 0.0, captured_ns, None)

    def _to_keypoints(self, points: PointArrays, confidence: float, captured_ns: int, torso: Array | None) -> Keypoints:
        return Keypoints(
            set=self.header.set,
            value=points.value[None],
            depth=None if points.depth is None else points.depth[None],
            jacobian=None if points.jacobian is None else points.jacobian[None],
            confidence=np.array([confidence], np.float32),
            captured_ns=captured_ns,
            torso=torso,
        )

    def _decode_points(self, kind: int, body: bytes, sequence: int) -> PointArrays | None:
        """The points of a packet's body; None for a delta whose keyframe did not come."""
        if kind == _KIND_UNSEEN:
            if body:
                raise ProtocolError("a packet of motion is too long", _UPDATE_REMEDY)
            return self._last_points
        if self._face_codec is not None:
            if kind != _KIND_KEYFRAME:
                raise ProtocolError("a packet of a face is never a delta", _UPDATE_REMEDY)
            return self._face_codec.decode(body)
        if kind == _KIND_KEYFRAME:
            numbers = self._point_codec.unpack_quantized(body)
            self._store_keyframe(sequence, numbers)
            return self._point_codec.dequantize(numbers)
        if len(body) < _SEQUENCE_STRUCT.size:
            raise ProtocolError("a packet of motion is cut short", _UPDATE_REMEDY)
        delta = self._point_codec.unpack_quantized(body[_SEQUENCE_STRUCT.size :])
        keyframe = self._keyframes.get(_SEQUENCE_STRUCT.unpack_from(body)[0])
        return None if keyframe is None else self._point_codec.dequantize(keyframe + delta)

    def _store_keyframe(self, sequence: int, numbers: QuantizedPoints) -> None:
        self._keyframes.pop(sequence, None)
        self._keyframes[sequence] = numbers
        while len(self._keyframes) > _KEPT_KEYFRAMES:
            del self._keyframes[next(iter(self._keyframes))]

    def _accept_sequence(self, sequence: int, time_us: int) -> bool:
        """Tell whether the packet is newer than all before it."""
        if self._sequence is None:
            self._sequence, self._time_us = sequence, time_us
            return True
        ahead = (sequence - self._sequence) & 0xFFFF
        if ahead == 0 or ahead >= 0x8000:
            return False
        self.lost_packets += ahead - 1
        since = (time_us - self._time_us) & 0xFFFFFFFF
        self._time_us += since if since < 1 << 31 else 0  # a clock that went back stands still
        self._sequence = sequence
        return True


def _make_point_codec(header: MotionHeader) -> PointSetCodec:
    return PointSetCodec(header.points, depth=header.depth, jacobian=header.jacobian)


def _zero_points(header: MotionHeader) -> PointArrays:
    points = header.points
    return PointArrays(
        np.zeros((points, 2), np.float32),
        np.zeros(points, np.float32) if header.depth else None,
        np.zeros((points, 2, 2), np.float32) if header.jacobian else None,
    )
