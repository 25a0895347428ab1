"""Pictures are passed on as they come, fitted, with the sound beside them; a bad one costs no more than itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from livehead.clock import NS, now_ns
from livehead.errors import CaptureError, SinkError
from livehead.frame_relay import FrameRelay, resize_image
from livehead.frames import AudioFrame, Frame, Image, VideoFrame
from livehead.interfaces import EndOfStream


class Pictures:
    """A capture of ``levels``, grey pictures of 8 x 4 at ``fps``; ``error`` at its end, if any."""

    def __init__(self, levels: Sequence[int], fps: float = 200.0, error: Exception | None = None) -> None:
        self._levels = list(levels)
        self._fps = fps
        self._error = error
        self._start_ns = 0
        self._given = 0

    async def __aenter__(self) -> Pictures:
        self._start_ns = now_ns()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def recv(self) -> Frame:
        if self._given == len(self._levels):
            raise self._error or EndOfStream
        level = self._levels[self._given]
        captured_ns = self._start_ns + round(self._given * NS / self._fps)
        self._given += 1
        await asyncio.sleep(max(captured_ns - now_ns(), 0) / NS)
        image = np.full((4, 8, 4), level, np.uint8)
        return VideoFrame(image, self._given, Fraction(1, 90_000), captured_ns, {"number": level})


class Tones:
    """A microphone that gives ten blocks of sound and ends."""

    def __init__(self) -> None:
        self._given = 0

    async def __aenter__(self) -> Tones:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def recv(self) -> Frame:
        if self._given == 10:
            raise EndOfStream
        self._given += 1
        await asyncio.sleep(0.001)
        return AudioFrame(np.zeros((1, 480), np.float32), 48_000, 480 * self._given, now_ns())


class KeepingSink:
    """A sink that keeps what it gets; it fails at the picture ``fails_at``."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.video: list[VideoFrame] = []
        self.audio: list[AudioFrame] = []
        self._fails_at = fails_at

    async def __aenter__(self) -> KeepingSink:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send(self, frame: Frame) -> None:
        if isinstance(frame, AudioFrame):
            self.audio.append(frame)
            return
        if len(self.video) == self._fails_at:
            raise SinkError("the disk is full")
        self.video.append(frame)


def relay(pictures: Pictures, *sinks: KeepingSink, **options: Any) -> FrameRelay:
    return FrameRelay(pictures, lambda image: resize_image(image, (4, 4)), sinks, fps=200, **options)


def test_pictures_are_fitted_and_keep_their_time_and_what_is_attached() -> None:
    sink = KeepingSink()
    asyncio.run(asyncio.wait_for(relay(Pictures([10, 20, 30], fps=50), sink).run(), 10))
    assert [frame.attached["number"] for frame in sink.video] == [frame.image[0, 0, 0] for frame in sink.video]
    assert sink.video[-1].image.shape == (4, 4, 3)
    assert sink.video[-1].captured_ns < now_ns()
    assert len(sink.video) >= 2


def test_sound_goes_to_every_sink_beside_the_pictures() -> None:
    first, second = KeepingSink(), KeepingSink()
    pictures = Pictures([1] * 20, fps=100)
    asyncio.run(asyncio.wait_for(relay(pictures, first, second, microphone=Tones()).run(), 10))
    assert len(first.audio) == len(second.audio) == 10
    assert first.video
    assert second.video


def test_a_picture_that_cannot_be_fitted_is_counted_and_skipped() -> None:
    def fit(image: Image) -> Image:
        if image[0, 0, 0] == 2:
            raise ValueError("a damaged picture")
        return image

    sink = KeepingSink()
    running = FrameRelay(Pictures([1, 2, 3, 4, 5], fps=50), fit, [sink], fps=50)
    asyncio.run(asyncio.wait_for(running.run(), 10))
    assert 2 not in [frame.image[0, 0, 0] for frame in sink.video]
    assert running.stats.read_counters()["relay.bad"] == 1


def test_a_sink_that_fails_is_closed_alone_and_the_last_one_ends_the_relay() -> None:
    failing, well = KeepingSink(fails_at=1), KeepingSink()
    asyncio.run(asyncio.wait_for(relay(Pictures([1] * 20, fps=100), failing, well).run(), 10))
    assert len(well.video) > len(failing.video) == 1
    with pytest.raises(SinkError, match="disk is full"):
        asyncio.run(asyncio.wait_for(relay(Pictures([1] * 1000, fps=100), KeepingSink(fails_at=1)).run(), 10))


def test_a_lost_capture_ends_the_relay_with_its_error() -> None:
    with pytest.raises(CaptureError, match="unplugged"):
        asyncio.run(asyncio.wait_for(relay(Pictures([1], error=CaptureError("unplugged")), KeepingSink()).run(), 10))


def test_it_stops_when_told_also_before_it_runs() -> None:
    running = relay(Pictures([1] * 100_000), KeepingSink())
    running.stop()
    asyncio.run(asyncio.wait_for(running.run(), 10))


def test_pictures_beyond_the_rate_are_left_out_and_counted() -> None:
    sink = KeepingSink()
    running = FrameRelay(Pictures([1] * 60, fps=200), lambda image: image, [sink], fps=50)
    asyncio.run(asyncio.wait_for(running.run(), 10))
    assert running.stats.read_counters()["capture.over_rate"] >= 35
    assert len(sink.video) <= 25
