"""What aiortc 1.16 offers no setting for when it sends, set on one connection's own parts.

- Pictures: the ``playout-delay`` header extension at 0/0 tells libwebrtc to show each picture when it is decoded;
  without it, it adds its own smoothing.
- Pictures are encoded once for all receivers (``webrtc/broadcast.py``), so aiortc's sender gets a pass-through in
  place of its encoder, and its key frame requests go to the track.

Everything here touches names that aiortc keeps to itself; ``tests/webrtc/test_sender_patches.py`` fails when they
change.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCRtpSender, RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, pack_header_extensions
from aiortc.rtp import unpack_header_extensions as unpack
from aiortc.sdp import MediaDescription

from livehead.webrtc.encoded_track import EncodedTrack, PassthroughEncoder
from livehead.webrtc.encoder import VideoCodec

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
SDP_PARSE_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, StopIteration)
"""The exceptions that reading foreign SDP has been seen to raise in aiortc, which does not check what it splits."""

_ZERO_DELAY = b"\0\0\0"  # least and most delay, 12 bits each, in 10 ms
_PLAYOUT_DELAY_ID = 14  # of the extension in an offer of ours; aiortc takes the low numbers, and one byte holds 1 to 14
# x264 takes less time than libvpx; Firefox has H.264 only where its plugin is installed
_PREFERRED_CODECS = ("H264", "VP8")


def preferred_codecs() -> list[RTCRtpCodecCapability]:
    """The codecs that we encode, the preferred one first, and retransmission with each."""
    known = RTCRtpSender.getCapabilities("video").codecs
    order = (*_PREFERRED_CODECS, "rtx")
    return sorted((codec for codec in known if codec.name in order), key=lambda codec: order.index(codec.name))


def attach_encoded_track(sender: RTCRtpSender, track: EncodedTrack) -> None:
    """Let ``sender`` send what ``track`` has encoded; called before the sender starts."""
    private: Any = sender
    private._RTCRtpSender__encoder = PassthroughEncoder(track)
    private._send_keyframe = track.request_key_frame
    # Each track is a stream of its own: libwebrtc would hold the picture back to match the sound, which is done here.
    private._stream_id = track.id
    if track.kind == "video":
        private._RTCRtpSender__rtp_header_extensions_map = _PlayoutDelayExtension()


def negotiate_playout_delay(transceiver: RTCRtpTransceiver, offered: MediaDescription) -> None:
    """Agree to the playout-delay extension if it is offered; called once the remote description is set."""
    agreed: list[RTCRtpHeaderExtensionParameters] = transceiver._headerExtensions
    agreed.extend(extension for extension in offered.rtp.headerExtensions if extension.uri == PLAYOUT_DELAY)


def add_playout_delay(offer: str) -> str:
    """``offer`` (SDP) with the playout-delay extension in its video section; aiortc has no list of them to add to."""
    before, video, rest = offer.partition("m=video")
    attributes, mid, rest = rest.partition("a=mid:")
    if not mid:
        return offer
    return f"{before}{video}{attributes}a=extmap:{_PLAYOUT_DELAY_ID} {PLAYOUT_DELAY}\r\n{mid}{rest}"


def negotiated_video_codec(transceiver: RTCRtpTransceiver) -> VideoCodec:
    """The codec that both sides chose for pictures; called once both descriptions are set."""
    return "H264" if transceiver._codecs[0].name.upper() == "H264" else "VP8"


def count_received_packets(sender: RTCRtpSender) -> int:
    """The number of packets that the other side has sent over ``sender``'s transport: reports and keep-alives."""
    transport: Any = sender.transport
    packets: int = transport._RTCDtlsTransport__rx_packets
    return packets


class _PlayoutDelayExtension(HeaderExtensionsMap):
    """Writes the playout-delay extension, once it is agreed on, into each packet."""

    def __init__(self) -> None:
        super().__init__()
        self._delay_id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == PLAYOUT_DELAY:
                self._delay_id = extension.id

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if self._delay_id is None:
            return profile, packed
        return pack_header_extensions([*unpack(profile, packed), (self._delay_id, _ZERO_DELAY)])
