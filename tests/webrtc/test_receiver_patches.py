"""What is set on aiortc's own parts is still there in the installed version, and does what it should."""

import asyncio
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from aiortc import RTCPeerConnection
from aiortc.codecs.h264 import H264Encoder
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from livehead.clock import NS
from livehead.frames import VideoFrame
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.encoded_track import EncodedFrame
from livehead.webrtc.peer import PeerConnection
from livehead.webrtc.receiver_patches import LowDelayAudioBuffer, MarkerJitterBuffer, patch_receiver
from tests.fixtures.huge_pictures import huge_h264
from tests.fixtures.studio import Client


def packet(number: int, picture: int, *, marker: bool = False) -> RtpPacket:
    made = RtpPacket(sequence_number=number % 65536, timestamp=picture * 3000, marker=int(marker))
    made._data = bytes([picture % 256, number % 256])
    return made


def given_by(buffer: MarkerJitterBuffer | LowDelayAudioBuffer, packets: Iterable[RtpPacket]) -> list[bytes]:
    frames = (buffer.add(each)[1] for each in packets)
    return [frame.data for frame in frames if frame is not None]


def test_a_picture_is_given_with_its_own_last_packet() -> None:
    buffer = MarkerJitterBuffer()
    assert given_by(buffer, [packet(0, 0), packet(1, 0)]) == []
    assert given_by(buffer, [packet(2, 0, marker=True)]) == [b"\0\0\0\1\0\2"]


def test_packets_may_overtake_each_other() -> None:
    assert given_by(MarkerJitterBuffer(), [packet(0, 0), packet(2, 0, marker=True), packet(1, 0)]) == [b"\0\0\0\1\0\2"]


def test_a_picture_with_a_hole_waits_for_it_and_so_do_those_after_it() -> None:
    buffer = MarkerJitterBuffer()
    late = packet(1, 0)
    assert given_by(buffer, [packet(0, 0), packet(2, 0, marker=True), packet(3, 1, marker=True)]) == []
    assert given_by(buffer, [late]) == [b"\0\0\0\1\0\2"]
    assert buffer._remove_frame(0).data == b"\1\3"


def test_a_sender_without_markers_is_understood() -> None:
    assert given_by(MarkerJitterBuffer(), [packet(0, 0), packet(1, 0), packet(2, 1)]) == [b"\0\0\0\1"]


@given(st.permutations(range(12)), st.integers(0, 65535))
def test_pictures_come_whole_and_in_order_however_packets_arrive(order: list[int], start: int) -> None:
    buffer = MarkerJitterBuffer()
    buffer._origin = start  # as after a first packet
    frames = []
    for each in order:
        frame = buffer.add(packet(start + each, each // 3, marker=each % 3 == 2))[1]
        while frame is not None:
            frames.append(frame.timestamp // 3000)
            frame = buffer._remove_frame(0)
    assert frames == [0, 1, 2, 3]


def test_sound_is_given_at_once_and_a_lost_packet_is_given_up_after_three() -> None:
    buffer = LowDelayAudioBuffer()
    assert given_by(buffer, [packet(0, 0), packet(1, 1)]) == [b"\0\0", b"\1\1"]
    assert given_by(buffer, [packet(3, 3), packet(4, 4)]) == []
    assert given_by(buffer, [packet(5, 5)]) == [b"\3\3"]
    assert buffer._remove_frame(0).data == b"\4\4"


async def test_the_installed_aiortc_has_the_parts_that_are_replaced() -> None:
    connection = RTCPeerConnection()
    transceiver = connection.addTransceiver("video")
    for name in ("jitter_buffer", "codecs", "decoder_thread", "timestamp_mapper", "decoder_queue", "decoder_error"):
        assert hasattr(transceiver.receiver, f"_RTCRtpReceiver__{name}"), name
    patch_receiver(transceiver.receiver, "video")
    await connection.close()


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_receivers_get_the_buffer_of_their_kind(kind: str) -> None:
    connection = RTCPeerConnection()
    receiver = connection.addTransceiver(kind).receiver
    patch_receiver(receiver, kind)
    expected = MarkerJitterBuffer if kind == "video" else LowDelayAudioBuffer
    assert isinstance(receiver._RTCRtpReceiver__jitter_buffer, expected)
    await connection.close()


async def test_a_decoder_that_does_not_keep_up_loses_what_waits_and_asks_for_a_key_frame() -> None:
    connection = RTCPeerConnection()
    receiver = connection.addTransceiver("video").receiver
    patch_receiver(receiver, "video")
    waiting, asked = receiver._RTCRtpReceiver__decoder_queue, receiver._RTCRtpReceiver__decoder_error
    for _ in range(10):
        waiting.put("a picture")
    await receiver._handle_rtp_packet(packet(0, 0), 0)
    assert (waiting.qsize(), asked.is_set()) == (10, False)
    for _ in range(10):
        waiting.put("a picture")
    await receiver._handle_rtp_packet(packet(1, 0), 0)
    assert (waiting.qsize(), asked.is_set()) == (0, True)
    await connection.close()


async def test_huge_pictures_of_a_peer_are_left_out_and_the_others_shown() -> None:
    client = Client()
    patch_receiver(client.peer.getTransceivers()[0].receiver, "video")
    huge = H264Encoder._packetize(H264Encoder._split_bitstream(huge_h264()))
    async with BroadcastSink() as broadcast:
        peer = PeerConnection(broadcast)
        await client.take(await peer.create_answer(await client.offer()))
        [track] = broadcast._tracks
        assert track.encoding is not None
        assert track.encoding.codec == "H264"
        for number in range(90):
            image = np.full((64, 64, 3), 2 * number, np.uint8)
            await broadcast.send(VideoFrame(image, number * 3000, Fraction(1, 90_000), number * NS // 30))
            if 30 <= number < 33:
                track.put(EncodedFrame(huge, number * 3000 + 1500))
            await asyncio.sleep(0.03)
        assert {picture.shape for picture in await client.pictures(40)} == {(64, 64, 3)}
        await peer.close()
    await client.close()
