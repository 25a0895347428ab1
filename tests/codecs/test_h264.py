"""Which encoder makes H.264: whoever is to serve a call has to show that it can."""

from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest

from livehead.codecs.h264 import (
    HARDWARE_ENCODERS,
    X264,
    H264EncoderSpec,
    best_encoder,
    first_working,
    live_x264_options,
    self_test,
)
from livehead.webrtc.encoder import VideoEncoder
from tests.webrtc.test_encoder import FPS, decoded, plain

SLOW = H264EncoderSpec("libx264", lambda bitrate: {"preset": "medium", "rc-lookahead": "10"})
WILFUL = H264EncoderSpec("libx264", lambda bitrate: live_x264_options(bitrate) | {"x264-params": "keyint=1"})
ABSENT = H264EncoderSpec("h264_of_nobody", lambda bitrate: {})


def test_x264_passes_its_own_trial() -> None:
    assert self_test(X264) == ""


@pytest.mark.parametrize(("maker", "fault"), [(SLOW, "holds pictures back"), (WILFUL, "at its own will")])
def test_an_encoder_that_no_call_could_use_fails(maker: H264EncoderSpec, fault: str) -> None:
    assert fault in self_test(maker)


def test_the_first_that_passes_is_taken() -> None:
    other = replace(X264, follows_bitrate=False)
    assert first_working((ABSENT, SLOW, WILFUL, other, X264)) is other
    assert first_working((ABSENT, SLOW)) is X264


def test_what_is_taken_on_this_machine_works() -> None:
    assert best_encoder() in (*HARDWARE_ENCODERS, X264)
    assert self_test(best_encoder()) == ""


class Card:
    """An encoder that breaks after three pictures, as a card does that was taken away."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._left = 3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def encode(self, picture: Any) -> list[Any]:
        if not self._left:
            raise av.ExternalError(1, "the card is gone")
        self._left -= 1
        return list(self._context.encode(picture))


class Breaking(H264EncoderSpec):
    def open(self, *args: Any) -> Any:
        return Card(super().open(*args))


def test_when_an_encoder_breaks_x264_goes_on_with_a_picture_that_stands_alone() -> None:
    breaking = Breaking("libx264", X264.options)
    encoder = VideoEncoder("H264", FPS, encoder_spec=breaking)
    for number in range(3):
        encoder.encode(plain(number))
    [picture] = decoded("H264", encoder.encode(plain(3))[0])
    assert np.abs(picture.astype(int) - (180, 90, 30)).max() < 8
    assert encoder.open_count == 2
    assert encoder.encode(plain(4))[0]


def test_an_encoder_that_does_not_follow_the_bitrate_is_opened_anew_for_large_steps_only() -> None:
    encoder = VideoEncoder("H264", FPS, 2_000_000, encoder_spec=replace(X264, follows_bitrate=False))
    encoder.encode(plain(0))
    encoder.bitrate = 1_800_000
    encoder.encode(plain(1))
    assert encoder.open_count == 1
    encoder.bitrate = 1_000_000
    encoder.encode(plain(2))
    assert encoder.open_count == 2
