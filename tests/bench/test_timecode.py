"""Time codes survive what happens to them on the way."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livehead.bench.camera_to_page import match_latencies
from livehead.bench.timecode import NUMBER_COUNT, TimeCodeCapture, TimeCodeSink, paint_time_code, read_time_code
from livehead.frames import VideoFrame
from livehead.webrtc.encoder import VideoEncoder
from tests.webrtc.test_encoder import decoded


@given(st.integers(0, NUMBER_COUNT - 1), st.sampled_from([(480, 640), (512, 512), (240, 320)]))
def test_a_number_is_read_as_it_was_painted(number: int, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 120, np.uint8)
    coded = paint_time_code(picture, number)
    assert read_time_code(coded) == number
    assert (coded[shape[0] // 16 + 1 :] == 120).all()


@given(st.integers(0, NUMBER_COUNT - 1))
def test_a_number_survives_scaling(number: int) -> None:
    coded = paint_time_code(np.zeros((480, 640, 3), np.uint8), number)
    assert read_time_code(cv2.resize(coded, (512, 512))) == number


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_number_survives_the_codec(codec: str) -> None:
    for number in (0, 1, 2730, NUMBER_COUNT - 1):
        coded = paint_time_code(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8), number)
        frame = VideoFrame(coded, 0, Fraction(1, 90_000), 0)
        [picture] = decoded(codec, VideoEncoder(codec, 30).encode(frame)[0])
        assert read_time_code(picture) == number


def test_a_picture_without_a_code_is_none() -> None:
    assert read_time_code(np.zeros((480, 640, 3), np.uint8)) is None
    assert read_time_code(np.full((64, 64, 3), 64, np.uint8)) is None
    assert read_time_code(np.zeros((4, 4, 3), np.uint8)) is None


class Shelf:
    """A capture of one picture, and a sink that keeps what it gets."""

    def __init__(self, image: np.ndarray) -> None:
        self.frame = VideoFrame(image, 0, Fraction(1, 90_000), 0)
        self.kept: list[VideoFrame] = []

    async def __aenter__(self) -> "Shelf":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def recv(self) -> VideoFrame:
        return self.frame

    async def send(self, frame: VideoFrame) -> None:
        self.kept.append(frame)


async def test_the_driving_frame_s_code_is_painted_into_the_avatar_s_frame() -> None:
    shelf = Shelf(paint_time_code(np.zeros((480, 640, 3), np.uint8), 77))
    async with TimeCodeCapture(shelf) as capture, TimeCodeSink(shelf) as sink:
        driving = await capture.recv()
        await sink.send(driving.with_image(np.zeros((512, 512, 3), np.uint8)))
    assert read_time_code(shelf.kept[0].image) == 77


def test_ages_are_counted_from_the_newest_capture_of_that_number() -> None:
    captured = [(0.0, 1), (33.0, 2), (12_000.0, 1)]
    assert match_latencies(captured, [(50.0, 1), (60.0, 1), (90.0, 2), (12_040.0, 1)]) == [50.0, 57.0, 40.0]


def test_an_age_of_a_round_before_is_not_meant() -> None:
    assert match_latencies([(0.0, 1)], [(12_050.0, 1)]) == []
