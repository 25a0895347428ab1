"""Encoders for calls: nothing held back, key frames on demand, a bitrate that follows."""

from fractions import Fraction

import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.codecs.h264 import H264Decoder
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from livehead.frames import VideoFrame
from livehead.webrtc.encoder import MAX_BITRATE, MIN_BITRATE, VideoEncoder

FPS = 30
CODECS = ("H264", "VP8")


def noise(number: int, side: int = 128) -> VideoFrame:
    chance = np.random.default_rng(number)
    image = np.kron(chance.integers(0, 255, (side // 4, side // 4, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    return VideoFrame(image, number * 3000, Fraction(1, 90_000), number * 1_000_000_000 // FPS)


def plain(number: int, side: int = 128) -> VideoFrame:
    image = np.full((side, side, 3), (180, 90, 30), np.uint8)
    return VideoFrame(image, number * 3000, Fraction(1, 90_000), number * 1_000_000_000 // FPS)


def decoded(codec: str, payloads: list[bytes]) -> list[np.ndarray]:
    kind = RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000, payloadType=96)
    data = b"".join(depayload(kind, payload) for payload in payloads)
    decoder = H264Decoder() if codec == "H264" else Vp8Decoder()
    return [frame.to_ndarray(format="rgb24") for frame in decoder.decode(JitterFrame(data, 0))]


@pytest.mark.parametrize("codec", CODECS)
def test_each_picture_comes_out_at_once_in_packets_that_fit_a_network(codec: str) -> None:
    encoder = VideoEncoder(codec, FPS)
    for number in range(5):
        payloads, timestamp = encoder.encode(noise(number))
        assert payloads
        assert max(map(len, payloads)) <= 1300
        assert timestamp == number * 3000


@pytest.mark.parametrize("codec", CODECS)
def test_colours_arrive_as_they_were(codec: str) -> None:
    [picture] = decoded(codec, VideoEncoder(codec, FPS).encode(plain(0), force_key_frame=True)[0])
    assert np.abs(picture.astype(int) - (180, 90, 30)).max() < 8


@pytest.mark.parametrize("codec", CODECS)
def test_a_key_frame_stands_alone(codec: str) -> None:
    encoder = VideoEncoder(codec, FPS)
    for number in range(4):
        encoder.encode(plain(number))
    assert len(decoded(codec, encoder.encode(plain(4), force_key_frame=True)[0])) == 1


@pytest.mark.parametrize("codec", CODECS)
def test_a_change_of_size_begins_anew(codec: str) -> None:
    encoder = VideoEncoder(codec, FPS)
    encoder.encode(plain(0))
    [picture] = decoded(codec, encoder.encode(plain(1, 64))[0])
    assert picture.shape == (64, 64, 3)
    assert encoder.open_count == 2


def kilobits(encoder: VideoEncoder, first: int, count: int) -> float:
    sizes = [sum(map(len, encoder.encode(noise(number))[0])) for number in range(first, first + count)]
    return sum(sizes[count // 2 :]) * 8 * FPS / (count - count // 2) / 1000


def test_h264_follows_the_bitrate_without_being_opened_anew() -> None:
    encoder = VideoEncoder("H264", FPS, 2_000_000)
    before = kilobits(encoder, 0, 60)
    encoder.bitrate = 600_000
    after = kilobits(encoder, 60, 60)
    assert 1500 < before < 2500
    assert 400 < after < 800
    assert encoder.open_count == 1


def test_vp8_is_opened_anew_only_for_large_steps() -> None:
    encoder = VideoEncoder("VP8", FPS, 2_000_000)
    encoder.encode(noise(0))
    for number, bitrate in enumerate((1_900_000, 2_100_000, 1_700_000, 2_600_000)):
        encoder.bitrate = bitrate
        encoder.encode(noise(number + 1))
    assert encoder.open_count == 1
    encoder.bitrate = 600_000
    assert kilobits(encoder, 5, 60) < 900
    assert encoder.open_count == 2


def test_bitrates_out_of_reason_are_held() -> None:
    encoder = VideoEncoder("H264", FPS)
    encoder.bitrate = 1
    assert encoder.bitrate == MIN_BITRATE
    encoder.bitrate = 10**12
    assert encoder.bitrate == MAX_BITRATE
