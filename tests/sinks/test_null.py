from __future__ import annotations

from fractions import Fraction

import numpy as np

from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.null import NullSink


async def test_pictures_and_sound_are_counted() -> None:
    picture = VideoFrame(np.zeros((2, 2, 3), np.uint8), 0, Fraction(1, 30), 0)
    sound = AudioFrame(np.zeros((1, 320), np.float32), 16_000, 0, 0)
    async with NullSink() as sink:
        for frame in (picture, sound, picture):
            await sink.send(frame)
    assert sink.frame_count == 2
    assert sink.sound_s == 0.02
