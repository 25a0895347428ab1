"""Which encoder makes H.264: whoever is to serve a call has to show that it can."""

from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest

from livehead.sinks.encoding import PictureEncoder
from livehead.sinks.h264 import HARDWARE, X264, Maker, best_maker, chosen, live_x264, trial
from tests.sinks.test_encoding import FPS, decoded, plain

SLOW = Maker("libx264", lambda bitrate: {"preset": "medium", "rc-lookahead": "10"})
WILFUL = Maker("libx264", lambda bitrate: live_x264(bitrate) | {"x264-params": "keyint=1"})
ABSENT = Maker("h264_of_nobody", lambda bitrate: {})


def test_x264_passes_its_own_trial() -> None:
    assert trial(X264) == ""


@pytest.mark.parametrize(("maker", "fault"), [(SLOW, "holds pictures back"), (WILFUL, "at its own will")])
def test_an_encoder_that_no_call_could_use_fails(maker: Maker, fault: str) -> None:
    assert fault in trial(maker)


def test_the_first_that_passes_is_taken() -> None:
    other = replace(X264, follows=False)
    assert chosen((ABSENT, SLOW, WILFUL, other, X264)) is other
    assert chosen((ABSENT, SLOW)) is X264


def test_what_is_taken_on_this_machine_works() -> None:
    assert best_maker() in (*HARDWARE, X264)
    assert trial(best_maker()) == ""


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


class Breaking(Maker):
    def open(self, *args: Any) -> Any:
        return Card(super().open(*args))


def test_when_an_encoder_breaks_x264_goes_on_with_a_picture_that_stands_alone() -> None:
    breaking = Breaking("libx264", X264.options)
    encoder = PictureEncoder("H264", FPS, maker=breaking)
    for number in range(3):
        encoder.encode(plain(number))
    [picture] = decoded("H264", encoder.encode(plain(3))[0])
    assert np.abs(picture.astype(int) - (180, 90, 30)).max() < 8
    assert encoder.opened == 2
    assert encoder.encode(plain(4))[0]


def test_an_encoder_that_does_not_follow_the_bitrate_is_opened_anew_for_large_steps_only() -> None:
    encoder = PictureEncoder("H264", FPS, 2_000_000, maker=replace(X264, follows=False))
    encoder.encode(plain(0))
    encoder.bitrate = 1_800_000
    encoder.encode(plain(1))
    assert encoder.opened == 1
    encoder.bitrate = 1_000_000
    encoder.encode(plain(2))
    assert encoder.opened == 2
