"""Small files of our own making. Picture ``i`` is a plane of grey ``8 * i``, so that a frame tells its number."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
import numpy as np
import pytest

from livehead.clock import PlaybackClock
from livehead.frames import Image
from livehead.interfaces import Capture

TURNED = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    def write(
        name: str = "clip.mp4",
        *,
        images: Sequence[Image] | None = None,
        times_ms: Sequence[int] | None = None,
        pixels: str = "yuv420p",
        movflags: str = "",
    ) -> Path:
        images = images if images is not None else [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(10)]
        times = times_ms or [40 * i for i in range(len(images))]
        path = tmp_path / name
        with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "1", "g": "5", "bf": "0"})
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = pixels
            stream.codec_context.time_base = Fraction(1, 1000)
            for image, time in zip(images, times, strict=True):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def write_wav(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "tone.wav", *, hz: float = 440.0, rate: int = 44_100, channels: int = 2) -> Path:
        path = tmp_path / name
        tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((np.repeat(tone[:, None], channels, 1) * 32767).astype("<i2").tobytes())
        return path

    return write


def turn(path: Path, degrees: int) -> None:
    """Write a rotation into the MP4's track header, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    a, b, c, d = (value * 0x10000 for value in TURNED[degrees])
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


class HandClock:
    """A clock that only moves when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000
        self.waited_for: list[int] = []

    async def sleep_until(self, deadline_ns: int) -> None:
        self.waited_for.append(deadline_ns)
        self.now = max(self.now, deadline_ns)

    def keeping(self) -> PlaybackClock:
        return PlaybackClock(now_ns=lambda: self.now, sleep_until=self.sleep_until)


async def rest(capture: Capture, frames: list[Any] | None = None) -> NoReturn:
    """Take what is left into ``frames``. Raises: EndOfStream."""
    while True:
        frame = await capture.recv()
        if frames is not None:
            frames.append(frame)


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()
