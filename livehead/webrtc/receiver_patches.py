"""What aiortc 1.16 offers no setting for when it receives, set on one connection's own parts.

- Received pictures: aiortc hands a picture on with the first packet of the *next* one, a frame period late. The RTP
  marker already says that it is whole (RFC 6184, section 5.1; RFC 7741, section 4.1).
- A decoder that does not keep up: aiortc lets pictures pile up before it without end, each later than the one before.
- Pictures of any size: aiortc's decoders take the memory that a few bytes ask for.
- Received sound: aiortc holds four packets back, and one lost packet stops it until sixteen have come.

The decoders are chosen for the whole process, as aiortc makes them on threads of its own, from a name in its module.
What concerns sending is in ``webrtc/sender_patches.py``. Everything here touches names that aiortc keeps to itself;
``tests/webrtc/test_receiver_patches.py`` fails when they change.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Awaitable, Callable
from typing import Any

import av
from aiortc import RTCRtpReceiver, RTCRtpTransceiver, rtcrtpreceiver
from aiortc.codecs import get_decoder, is_rtx
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.mediastreams import VIDEO_TIME_BASE
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add

from livehead.codecs.pixel_limits import MAX_RECEIVED_PIXELS, create_bounded_decoder

_VIDEO_CAPACITY, _AUDIO_CAPACITY = 512, 64
_MAX_DECODER_BACKLOG = 15  # pictures, or packets of sound, that may wait for the decoder
_AUDIO_GAP_PACKETS = 3  # a missing packet is given up when so many later ones are there: 60 ms

START_BITRATE_KBIT = 1500
"""The kbit/s at which a browser sends its camera until the first estimates are in; its own first guess is 300."""


class MarkerJitterBuffer(JitterBuffer):
    """Gives a picture as soon as the packet that ends it is there and none before it is missing."""

    def __init__(self) -> None:
        super().__init__(capacity=_VIDEO_CAPACITY, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        packets: list[Any] = []
        for count in range(self.capacity):
            packet = _packet_at(self, count)
            if packet is None:
                return None
            if packets and packet.timestamp != packets[0].timestamp:
                break  # the sender sets no markers, and the next picture has begun
            packets.append(packet)
            if packet.marker:
                break
        self.remove(len(packets))
        return JitterFrame(b"".join(part._data for part in packets), packets[0].timestamp)


class LowDelayAudioBuffer(JitterBuffer):
    """Gives each packet of sound in order, at once; skips a missing one when three later ones are there."""

    def __init__(self) -> None:
        super().__init__(capacity=_AUDIO_CAPACITY)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        first = next((count for count in range(self.capacity) if _packet_at(self, count) is not None), None)
        if first is None:
            return None
        if first:
            if not all(_packet_at(self, first + later) is not None for later in range(_AUDIO_GAP_PACKETS)):
                return None
            self.remove(first)
        packet = _packet_at(self, 0)
        frame = JitterFrame(packet._data, packet.timestamp)
        self.remove(1)
        return frame


def _packet_at(buffer: JitterBuffer, count: int) -> Any:
    """The packet that is ``count`` after the first one awaited, or None while it is missing."""
    return buffer._packets[uint16_add(buffer._origin or 0, count) % buffer.capacity]


class _BoundedDecoder(Decoder):
    """Decodes the pictures of ``codec``, a decoder's name in FFmpeg, none of which may be larger than 4K."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._context = create_bounded_decoder(codec)

    def decode(self, encoded_frame: JitterFrame) -> list[Any]:
        packet = av.Packet(encoded_frame.data)
        packet.pts, packet.time_base = encoded_frame.timestamp, VIDEO_TIME_BASE
        try:
            return list(self._context.decode(packet))
        except av.FFmpegError:
            if self._context.width * self._context.height > MAX_RECEIVED_PIXELS:
                self._context = create_bounded_decoder(self._codec)  # it keeps tables of that size
            raise


def create_decoder(codec: RTCRtpCodecParameters) -> Decoder:
    """The decoder of a received codec: aiortc's own for sound, and one that takes no picture above 4K for pictures.

    VP8 is read by FFmpeg's own decoder: libvpx, which aiortc takes, knows no limit.
    """
    bounded = {"video/h264": "h264", "video/vp8": "vp8"}.get(codec.mimeType.lower())
    return _BoundedDecoder(bounded) if bounded else get_decoder(codec)


def patch_receiver(receiver: RTCRtpReceiver, kind: str) -> None:
    """Give ``receiver`` a jitter buffer of ours for its ``kind`` of media, and bounded decoders to all receivers.

    It is called before the first packet.
    """
    module: Any = rtcrtpreceiver
    module.get_decoder = create_decoder
    buffer = MarkerJitterBuffer() if kind == "video" else LowDelayAudioBuffer()
    private: Any = receiver
    private._RTCRtpReceiver__jitter_buffer = buffer
    waiting: queue.Queue[Any] = private._RTCRtpReceiver__decoder_queue
    handle: Callable[[RtpPacket, int], Awaitable[None]] = private._handle_rtp_packet

    async def handle_all(packet: RtpPacket, arrival_time_ms: int) -> None:
        """Handle a packet as aiortc does, but take every picture that is whole: a filled gap may complete several."""
        await handle(packet, arrival_time_ms)
        if waiting.qsize() > _MAX_DECODER_BACKLOG:
            _drop_backlog(waiting)
            private._RTCRtpReceiver__decoder_error.set()  # asks the sender for a key frame
        codecs: dict[int, RTCRtpCodecParameters] = private._RTCRtpReceiver__codecs
        codec = codecs.get(packet.payload_type)
        if codec is not None and is_rtx(codec):
            codec = codecs.get(int(codec.parameters.get("apt") or 0))
        while codec is not None and buffer._origin is not None:
            frame = buffer._remove_frame(packet.sequence_number)
            if frame is None or private._RTCRtpReceiver__decoder_thread is None:
                return
            frame.timestamp = private._RTCRtpReceiver__timestamp_mapper.map(frame.timestamp)
            waiting.put((codec, frame))

    private._handle_rtp_packet = handle_all


def _drop_backlog(waiting: queue.Queue[Any]) -> None:
    """Drop what waits for a decoder that does not keep up, but keep the None that marks the end of the track."""
    with contextlib.suppress(queue.Empty):
        while True:
            if waiting.get_nowait() is None:
                waiting.put(None)
                return


def hint_start_bitrate(transceiver: RTCRtpTransceiver) -> None:
    """Have the browser send its camera sharp from the start instead of blurred; called before the answer is made."""
    for codec in transceiver._codecs:
        if not is_rtx(codec):
            codec.parameters["x-google-start-bitrate"] = START_BITRATE_KBIT


def discard_received_media(receiver: RTCRtpReceiver) -> None:
    """Have ``receiver`` throw its packets away undecoded, for measurements that are about the sender."""
    receiver._enabled = False
