"""What is set on aiortc's own senders is still there in the installed version, and does what it should."""

from aiortc import RTCPeerConnection
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, unpack_header_extensions
from aiortc.sdp import SessionDescription

from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.sender_patches import (
    PLAYOUT_DELAY,
    _PlayoutDelayExtension,
    add_playout_delay,
    attach_encoded_track,
    preferred_codecs,
)


def test_each_packet_tells_the_receiver_to_show_it_at_once() -> None:
    extensions = _PlayoutDelayExtension()
    extensions.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=7, uri=PLAYOUT_DELAY)]))
    assert unpack_header_extensions(*extensions.set(HeaderExtensions())) == [(7, b"\0\0\0")]


def test_an_extension_that_was_not_agreed_on_is_not_sent() -> None:
    extensions = _PlayoutDelayExtension()
    extensions.configure(RTCRtpParameters())
    assert unpack_header_extensions(*extensions.set(HeaderExtensions())) == []


async def test_the_installed_aiortc_has_the_parts_that_are_replaced() -> None:
    connection = RTCPeerConnection()
    sender = connection.addTransceiver("video").sender
    for name in ("encoder", "rtp_header_extensions_map"):
        assert hasattr(sender, f"_RTCRtpSender__{name}"), name
    async with BroadcastSink() as broadcast:
        track = broadcast.add_video_track("VP8")
        attach_encoded_track(sender, track)
        sender._RTCRtpSender__encoder.target_bitrate = 900_000
        assert track.bitrate == 900_000
    await connection.close()


async def test_an_offer_of_ours_has_the_playout_delay_in_the_picture_alone() -> None:
    connection = RTCPeerConnection()
    connection.addTransceiver("audio", "sendonly")
    connection.addTransceiver("video", "sendonly").setCodecPreferences(preferred_codecs())
    offer = (await connection.createOffer()).sdp
    sound, picture = SessionDescription.parse(add_playout_delay(offer)).media
    assert PLAYOUT_DELAY not in [extension.uri for extension in sound.rtp.headerExtensions]
    added = [extension for extension in picture.rtp.headerExtensions if extension.uri == PLAYOUT_DELAY]
    assert len(added) == 1
    assert [extension.id for extension in picture.rtp.headerExtensions].count(added[0].id) == 1
    assert picture.rtp.codecs[0].name == "H264"
    await connection.close()
