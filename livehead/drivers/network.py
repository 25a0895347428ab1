"""Motion that another machine estimates, in place of a camera: packets of ``livehead.protocol.motion_packets``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.clock import NS, now_ns
from livehead.concurrency import Latest
from livehead.frames import Image
from livehead.interfaces import DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.protocol.motion_packets import MotionPacketDecoder

_TIMEOUT_NS = NS // 2  # without a packet for so long, nobody is seen


class MotionArrival:
    """What the feed gives for a picture: nothing to see but that there is new motion."""

    width = height = 1

    def to_ndarray(self, format: str = "rgb24") -> Image:
        """A grey pixel, uint8 [1, 1, 3]."""
        return np.full((1, 1, 3), 64, np.uint8)


class MotionFeed:
    """A ``Driver`` that estimates nothing, and the ``Track`` to plug into the camera, which wakes it for each packet.

    Newest wins: what came before it and was not drawn yet is forgotten.
    """

    def __init__(self, header: bytes) -> None:
        """Raises: ProtocolError."""
        self.header = header
        self._reader = MotionPacketDecoder(header)
        self._arrivals: Latest[MotionArrival] = Latest()
        self._latest: tuple[Keypoints, int] | None = None  # and when it came

    @property
    def motion_set(self) -> str:
        """The set that the opening names."""
        return self._reader.header.set

    @property
    def lost_packets(self) -> int:
        """Packets that never came or came too late."""
        return self._reader.lost_packets

    def restart_reader(self) -> None:
        """For a sender that begins anew with the same opening."""
        self._reader = MotionPacketDecoder(self.header)

    def receive_packet(self, packet: bytes) -> None:
        """A packet has come; called on the event loop. Raises: ProtocolError."""
        motion = self._reader.decode(packet)
        if motion is not None:
            self._latest = motion, now_ns()
            self._arrivals.put(MotionArrival())

    async def recv(self) -> MotionArrival:
        """Wait for motion; never ends by itself."""
        return await self._arrivals.get()

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """The newest motion; confidence 0 while none comes."""
        captured_ns = inputs.now_ns if inputs.frame is None else inputs.frame.captured_ns
        if self._latest is None:
            return self._reader.unseen_motion(captured_ns)
        motion, arrived_ns = self._latest
        if now_ns() - arrived_ns > _TIMEOUT_NS:
            motion = replace(motion, confidence=np.zeros(1, np.float32))
        return replace(motion, captured_ns=captured_ns)

    def reset(self) -> None:
        """Forget the newest motion."""
        self._latest = None
