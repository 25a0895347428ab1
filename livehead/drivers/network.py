"""Motion that another machine estimates, in place of a camera: packets of ``livehead.protocol.motion_packets``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType

import numpy as np

from livehead.clock import NS, now_ns
from livehead.concurrency import Latest
from livehead.interfaces import EndOfStream
from livehead.motion.keypoints import Keypoints
from livehead.motion_stages import TimedMotion
from livehead.protocol.motion_packets import MotionPacketDecoder
from livehead.quality import QualityLevel

_TIMEOUT_NS = NS // 2  # without a packet for so long, nobody is seen


class NetworkMotionSource:
    """A ``MotionSource`` that estimates nothing itself: ``receive_packet`` is given the network's packets.

    The newest packet wins. While none comes, motion with confidence 0 is given ``fps`` times a second, so that the
    avatar idles instead of standing still.
    """

    ends_with_microphone = False

    def __init__(self, header: bytes, *, fps: float = 30.0) -> None:
        """Prepare for packets with the kind of motion that ``header`` names. Raises: ProtocolError."""
        self.header = header
        self._fps = fps
        self._decoder = MotionPacketDecoder(header)
        self._arrivals: Latest[Keypoints] = Latest()
        self._latest: Keypoints | None = None
        self._unseen_due_ns: int | None = None  # when a motion with confidence 0 is given next

    @property
    def motion_set(self) -> str:
        """The set of points that the header names."""
        return self._decoder.header.set

    @property
    def lost_packets(self) -> int:
        """Packets that never came or came too late."""
        return self._decoder.lost_packets

    def restart_decoder(self) -> None:
        """Begin anew for a sender that starts again with the same header."""
        self._decoder = MotionPacketDecoder(self.header)

    def receive_packet(self, packet: bytes) -> None:
        """Take one packet; called on the event loop. Raises: ProtocolError."""
        motion = self._decoder.decode(packet)
        if motion is not None:
            self._latest = replace(motion, captured_ns=now_ns())
            self._arrivals.put(self._latest)

    async def __aenter__(self) -> NetworkMotionSource:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def recv(self) -> TimedMotion:
        """Return the newest motion, or one with confidence 0 while none comes. Raises: EndOfStream after ``stop``."""
        if self._unseen_due_ns is None:
            self._unseen_due_ns = now_ns() + round(NS / self._fps)
        try:
            # not wait_for, which in Python 3.11 forgets that it was cancelled when a packet comes in that moment
            async with asyncio.timeout(max(self._unseen_due_ns - now_ns(), 0) / NS):
                motion = await self._arrivals.get()
            self._unseen_due_ns = motion.captured_ns + _TIMEOUT_NS
        except TimeoutError:
            motion = self._unseen_motion(now_ns())
            self._unseen_due_ns = motion.captured_ns + round(NS / self._fps)
        return TimedMotion(motion, motion.captured_ns, now_ns())

    async def run(self, output: Latest[TimedMotion]) -> None:
        """Put every motion into ``output`` until ``stop`` is called."""
        while True:
            try:
                output.put(await self.recv())
            except EndOfStream:
                return

    def stop(self) -> None:
        """End ``run`` and ``recv`` for good."""
        self._arrivals.close()

    def set_quality(self, quality: QualityLevel) -> None:
        """Idle at the frame rate of ``quality``; the sender alone decides how often it tracks."""
        self._fps = quality.fps

    def _unseen_motion(self, at_ns: int) -> Keypoints:
        """Return the last motion, or a neutral one, with confidence 0."""
        if self._latest is None:
            return self._decoder.unseen_motion(at_ns)
        return replace(self._latest, confidence=np.zeros(1, np.float32), captured_ns=at_ns)
