"""Motion over the wire: an opening that says what is sent, then a packet for each moment. No I/O here.

A packet of a face mesh stands for itself. One of any other set is whole once a second and a difference from the last
whole one otherwise, so that what is lost in between never matters. docs/motion-format.md describes every byte.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from livehead.clock import NS
from livehead.errors import ConfigError, ProtocolError
from livehead.motion.face.face_basis import face_basis
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.protocol.motion_coding import STEP, FaceBody, Places, PlainBody, Whole, pack_numbers

MAGIC, VERSION = b"LHMW", 1
MOST_POINTS = 1024
MOST_BYTES = 32 * 1024
"""Of a packet; the largest that is written has 28 kB."""

_OPENING = struct.Struct("<4sBBHHBBI")
_HEAD = struct.Struct("<BBHI")
_SEQUENCE = struct.Struct("<H")
_TORSO = struct.Struct("<6h")
_UNSEEN, _WHOLE, _DIFFERENCE, _HAS_TORSO = 0, 1, 2, 4
_KEY_NS = NS
_KEYS = 2  # wholes that are remembered: packets may overtake each other
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UPDATE = "update livehead at both ends"


@dataclass(frozen=True, slots=True)
class Opening:
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
    def of(cls, keypoints: Keypoints, fps: float) -> Opening:
        """For motion like ``keypoints``. Raises: ConfigError when it cannot be sent."""
        count, points = keypoints.value.shape[:2]
        depth, jacobian = keypoints.depth is not None, keypoints.jacobian is not None
        if count != 1 or not 1 <= points <= MOST_POINTS or not _NAME.fullmatch(keypoints.set):
            raise ConfigError(f"motion of {keypoints.set} cannot be sent", f"one performer, up to {MOST_POINTS} points")
        face = keypoints.set == MESH478 and depth and not jacobian
        number = face_basis().number if face else 0
        return cls(keypoints.set, points, fps, depth, jacobian, "face" if face else "plain", number)

    def pack(self) -> bytes:
        """Its bytes."""
        name = self.set.encode("ascii")
        parts, rate = self.depth | self.jacobian << 1, round(min(max(self.fps, 0.01), 655.0) * 100)
        coding = self.coding == "face"
        return _OPENING.pack(MAGIC, VERSION, coding, self.points, rate, parts, len(name), self.basis) + name

    @classmethod
    def unpack(cls, data: bytes) -> Opening:
        """Raises: ProtocolError for anything but an opening of this version."""
        if data[:4] != MAGIC:
            raise ProtocolError("this is no motion", "send what docs/motion-format.md describes")
        if len(data) > 4 and data[4] != VERSION:
            raise ProtocolError(f"motion of version {data[4]} is not known, only {VERSION}", _UPDATE)
        if len(data) < _OPENING.size:
            raise ProtocolError("the opening of a motion is cut short", _UPDATE)
        _, _, coding, points, rate, parts, length, basis = _OPENING.unpack_from(data)
        name = data[_OPENING.size :].decode("ascii", "replace")
        if len(name) != length or not _NAME.fullmatch(name) or not 1 <= points <= MOST_POINTS or parts > 3 or not rate:
            raise ProtocolError("the opening of a motion is broken", _UPDATE)
        depth, jacobian = bool(parts & 1), bool(parts & 2)
        if coding == 1:
            if (name, points, parts) != (MESH478, 478, 1):
                raise ProtocolError("the opening of a motion is broken", _UPDATE)
            if basis != face_basis().number:
                raise ProtocolError("the motion of faces is sent by another basis than is known here", _UPDATE)
        elif coding != 0 or basis:
            raise ProtocolError("the motion is coded in a way that is not known", _UPDATE)
        return cls(name, points, rate / 100, depth, jacobian, "face" if coding else "plain", basis)


class MotionWriter:
    """Motion to packets: the same motion gives the same bytes."""

    def __init__(self, like: Keypoints, fps: float) -> None:
        """``like``: any moment of the motion. Raises: ConfigError when it cannot be sent."""
        self.opening = Opening.of(like, fps)
        self._face = FaceBody(face_basis()) if self.opening.coding == "face" else None
        self._plain = _plain_body(self.opening)
        self._sequence = -1
        self._key: tuple[int, int, Whole] | None = None  # sequence, time, numbers

    def restart(self) -> None:
        """For a new receiver: the next packet is whole."""
        self._key = None

    def takes(self, keypoints: Keypoints) -> bool:
        """Whether ``keypoints`` are of the kind that the opening says."""
        opening = self.opening
        parts = (keypoints.set, keypoints.value.shape[:2], keypoints.depth is not None, keypoints.jacobian is not None)
        return parts == (opening.set, (1, opening.points), opening.depth, opening.jacobian)

    def packet(self, keypoints: Keypoints) -> bytes:
        """The next moment. Raises: ConfigError when it is not of the kind that the opening says."""
        if not self.takes(keypoints):
            raise ConfigError(f"motion of {self.opening.set} turned into one of {keypoints.set}", "start anew")
        self._sequence = (self._sequence + 1) & 0xFFFF
        kind, body = self._body(keypoints)
        flags, torso = kind, b""
        if keypoints.torso is not None and np.isfinite(keypoints.torso).all():
            flags |= _HAS_TORSO
            torso = _TORSO.pack(*np.rint(keypoints.torso.ravel() / STEP).clip(-32768, 32767).astype(int).tolist())
        confidence = 0 if kind == _UNSEEN else min(max(round(float(keypoints.confidence[0]) * 255), 1), 255)
        time_us = keypoints.captured_ns // 1000 & 0xFFFFFFFF
        return _HEAD.pack(flags, confidence, self._sequence, time_us) + torso + body

    def _body(self, keypoints: Keypoints) -> tuple[int, bytes]:
        arrays = [array[0] for array in (keypoints.value, keypoints.depth, keypoints.jacobian) if array is not None]
        if not keypoints.seen or not all(np.isfinite(array).all() for array in arrays):
            return _UNSEEN, b""
        depth = None if keypoints.depth is None else keypoints.depth[0]
        places = Places(keypoints.value[0], depth, None if keypoints.jacobian is None else keypoints.jacobian[0])
        if self._face is not None:
            return _WHOLE, self._face.pack(places)
        numbers = self._plain.round(places)
        if self._key is not None and 0 <= keypoints.captured_ns - self._key[1] < _KEY_NS:
            return _DIFFERENCE, _SEQUENCE.pack(self._key[0]) + pack_numbers(numbers - self._key[2])
        self._key = self._sequence, keypoints.captured_ns, numbers
        return _WHOLE, pack_numbers(numbers)


class MotionReader:
    """Packets to motion, whatever is lost, doubled or out of order on the way; newest wins.

    ``lost``: packets that never came or came too late; ``waiting``: packets that came, but not the whole before them.
    """

    def __init__(self, opening: bytes) -> None:
        """Raises: ProtocolError."""
        self.opening = Opening.unpack(opening)
        self.lost = self.waiting = 0
        self._face = FaceBody(face_basis()) if self.opening.coding == "face" else None
        self._plain = _plain_body(self.opening)
        self._keys: dict[int, Whole] = {}
        self._sequence: int | None = None
        self._time_us = 0
        self._last = _nothing(self.opening)

    def read(self, packet: bytes) -> Keypoints | None:
        """The motion of a packet, ``captured_ns`` on the sender's clock from a start of its own; None where it tells
        nothing new. Unseen points stay where they were.

        Raises: ProtocolError; the reader then goes on as if the packet had not come.
        """
        if not _HEAD.size <= len(packet) <= MOST_BYTES:
            raise ProtocolError("a packet of motion is too short or too long", _UPDATE)
        flags, confidence, sequence, time_us = _HEAD.unpack_from(packet)
        kind, body = flags & 3, packet[_HEAD.size :]
        if flags > 7 or kind > _DIFFERENCE or (confidence == 0) != (kind == _UNSEEN):
            raise ProtocolError("a packet of motion is of no known kind", _UPDATE)
        torso: Array | None = None
        if flags & _HAS_TORSO:
            if len(body) < _TORSO.size:
                raise ProtocolError("a packet of motion is cut short", _UPDATE)
            torso = (np.array(_TORSO.unpack_from(body), np.float32) * np.float32(STEP)).reshape(1, 3, 2)
            body = body[_TORSO.size :]
        places = self._places(kind, body, sequence)
        if not self._advance(sequence, time_us):
            return None
        if places is None:
            self.waiting += 1
            return None
        self._last = places
        return self._keypoints(places, confidence / 255, self._time_us * 1000, torso)

    def nothing(self, captured_ns: int) -> Keypoints:
        """Nobody is seen at ``captured_ns``: the last points, zeros before the first."""
        return self._keypoints(self._last, 0.0, captured_ns, None)

    def _keypoints(self, places: Places, confidence: float, captured_ns: int, torso: Array | None) -> Keypoints:
        return Keypoints(
            set=self.opening.set,
            value=places.value[None],
            depth=None if places.depth is None else places.depth[None],
            jacobian=None if places.jacobian is None else places.jacobian[None],
            confidence=np.array([confidence], np.float32),
            captured_ns=captured_ns,
            torso=torso,
        )

    def _places(self, kind: int, body: bytes, sequence: int) -> Places | None:
        """Where the points are; None for a difference whose whole did not come."""
        if kind == _UNSEEN:
            if body:
                raise ProtocolError("a packet of motion is too long", _UPDATE)
            return self._last
        if self._face is not None:
            if kind != _WHOLE:
                raise ProtocolError("a packet of a face is always whole", _UPDATE)
            return self._face.unpack(body)
        if kind == _WHOLE:
            numbers = self._plain.unpack(body)
            self._remember(sequence, numbers)
            return self._plain.places(numbers)
        if len(body) < _SEQUENCE.size:
            raise ProtocolError("a packet of motion is cut short", _UPDATE)
        difference = self._plain.unpack(body[_SEQUENCE.size :])
        key = self._keys.get(_SEQUENCE.unpack_from(body)[0])
        return None if key is None else self._plain.places(key + difference)

    def _remember(self, sequence: int, numbers: Whole) -> None:
        self._keys.pop(sequence, None)
        self._keys[sequence] = numbers
        while len(self._keys) > _KEYS:
            del self._keys[next(iter(self._keys))]

    def _advance(self, sequence: int, time_us: int) -> bool:
        """Whether the packet is newer than all before it."""
        if self._sequence is None:
            self._sequence, self._time_us = sequence, time_us
            return True
        ahead = (sequence - self._sequence) & 0xFFFF
        if ahead == 0 or ahead >= 0x8000:
            return False
        self.lost += ahead - 1
        since = (time_us - self._time_us) & 0xFFFFFFFF
        self._time_us += since if since < 1 << 31 else 0  # a clock that went back stands still
        self._sequence = sequence
        return True


def _plain_body(opening: Opening) -> PlainBody:
    return PlainBody(opening.points, depth=opening.depth, jacobian=opening.jacobian)


def _nothing(opening: Opening) -> Places:
    points = opening.points
    return Places(
        np.zeros((points, 2), np.float32),
        np.zeros(points, np.float32) if opening.depth else None,
        np.zeros((points, 2, 2), np.float32) if opening.jacobian else None,
    )
