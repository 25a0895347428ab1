"""What is encoded once for many receivers, and the track that each of them reads it from.

Encoded pictures cannot be dropped one by one, as later ones build on them: a track that falls behind is emptied and
goes on with the next key frame, which is then requested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiortc.codecs.base import Encoder
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from livehead.clock import now_ns
from livehead.concurrency import Fifo
from livehead.interfaces import EndOfStream
from livehead.webrtc.encoder import START_BITRATE, VideoCodec
from livehead.webrtc.rungs import KeyFrameBudget, Rung


class EncodingKey(NamedTuple):
    """Holds what one encoder makes for all tracks that want it; ``with_alpha`` puts the matte beside the colours."""

    codec: VideoCodec
    with_alpha: bool = False
    rung: Rung = "high"


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One picture or 20 ms of sound as RTP payloads; ``timestamp`` counts ticks of the codec's RTP clock."""

    payloads: list[bytes]
    timestamp: int
    is_key_frame: bool = True


class EncodedTrack(MediaStreamTrack):
    """The track that aiortc's sender reads for one receiver; it gives ``EncodedFrame`` items.

    At most ``capacity`` of them wait. ``on_key_request`` is called when the receiver needs a key frame, as often as
    ``budget`` allows. ``bitrate`` is the receiver's newest estimate in bits a second, None before the first.
    """

    def __init__(
        self,
        kind: str,
        encoding: EncodingKey | None,
        on_key_request: Callable[[], None],
        capacity: int,
        budget: KeyFrameBudget | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.encoding = encoding
        self.bitrate: int | None = None
        self.dropped = 0
        self._on_key_request = on_key_request
        self._capacity = capacity
        self._queue: Fifo[EncodedFrame] = Fifo(capacity + 1)
        self._queued = 0
        self._needs_key_frame = kind == "video"
        self._key_requested = False
        self._budget = budget

    def put(self, item: EncodedFrame) -> None:
        """Queue an encoded frame; called on the event loop."""
        if item.is_key_frame:
            self._key_requested = False
        elif self._needs_key_frame:
            self.request_key_frame()
            return
        if self.kind == "video" and self._queued >= self._capacity:
            self.dropped += self._queued
            self._queue.close()
            self._queue, self._queued, self._needs_key_frame = Fifo(self._capacity + 1), 0, True
            self.request_key_frame()
            return
        self._needs_key_frame = False
        self._queued = min(self._queued + 1, self._capacity)
        self._queue.put(item)

    def request_key_frame(self) -> None:
        """Ask for a key frame, as the receiver cannot decode without one; one that was asked for will come."""
        if not self._key_requested and (self._budget is None or self._budget.try_acquire(now_ns())):
            self._key_requested = True
            self._on_key_request()

    def switch_to(self, encoding: EncodingKey) -> None:
        """Go on with what ``encoding`` makes, from its next key frame on."""
        self.encoding = encoding
        self._needs_key_frame = self._key_requested = True
        self._on_key_request()

    async def recv(self) -> Any:
        """The next item for aiortc's sender. Raises: MediaStreamError once stopped."""
        while True:
            queue = self._queue
            try:
                item = await queue.get()
            except EndOfStream:
                if queue is not self._queue:
                    continue  # emptied: the new queue holds what follows
                raise MediaStreamError from None
            self._queued -= self._queued > 0
            return item

    def stop(self) -> None:
        """End the track; aiortc calls this too, when the connection ends."""
        super().stop()
        self._queue.close()


class PassthroughEncoder(Encoder):
    """Stands in for the encoder of aiortc's sender, as everything is encoded already."""

    def __init__(self, track: EncodedTrack) -> None:
        self._track = track

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        raise TypeError("an encoded track gives encoded frames only")

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        return packet.payloads, packet.timestamp

    @property
    def target_bitrate(self) -> int:
        """The bitrate that the receiver says it can take (REMB), in bits a second."""
        return self._track.bitrate or START_BITRATE

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._track.bitrate = bitrate
