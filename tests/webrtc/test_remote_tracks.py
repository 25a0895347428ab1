"""A peer's camera and microphone as captures that outlive its connection."""

import asyncio
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from livehead.clock import NS
from livehead.webrtc.remote_tracks import RemoteAudioCapture, RemoteVideoCapture


class Track:
    """Gives ``frames`` at once and then ends."""

    def __init__(self, frames: list[object], pause_s: float = 0.0) -> None:
        self.frames = frames
        self.pause_s = pause_s

    async def recv(self) -> object:
        await asyncio.sleep(self.pause_s)
        if not self.frames:
            raise MediaStreamError
        return self.frames.pop(0)


def picture(shade: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), format="rgb24")


def tone(samples: int = 960) -> av.AudioFrame:
    stereo = np.tile(np.array([[16384, 0]], np.int16), (samples, 1)).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
    frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
    return frame


async def test_only_the_newest_picture_is_read() -> None:
    async with RemoteVideoCapture() as camera:
        camera.attach_track(Track([picture(shade) for shade in (10, 20, 30)]))
        await asyncio.sleep(0.05)
        frame = await camera.recv()
        assert abs(int(frame.image.mean()) - 30) <= 2
        assert (camera.received, camera.dropped) == (3, 2)


async def test_without_a_camera_small_grey_pictures_keep_the_pace() -> None:
    async with RemoteVideoCapture(fps=50) as camera:
        frames = [await camera.recv() for _ in range(10)]
        assert {frame.size for frame in frames} == {(64, 64)}
        gaps = np.diff([frame.captured_ns for frame in frames]) / 1e6
        assert 15 < np.median(gaps) < 25
        assert [frame.pts for frame in frames] == sorted({frame.pts for frame in frames})


async def test_another_track_takes_over() -> None:
    async with RemoteVideoCapture() as camera:
        camera.attach_track(Track([picture(50)]))
        assert (await camera.recv()).size == (64, 48)
        camera.attach_track(Track([picture(200)]))
        await asyncio.sleep(0.05)
        frame = await camera.recv()
        assert abs(int(frame.image.mean()) - 200) <= 2


async def test_sound_comes_as_mono_floats_without_gaps() -> None:
    async with RemoteAudioCapture() as microphone:
        microphone.attach_track(Track([tone(), tone()]))
        first, second = await microphone.recv(), await microphone.recv()
        assert first.samples.shape == (1, 960)
        assert np.allclose(first.samples, 0.25, atol=1e-3)
        assert (first.rate, second.pts) == (48_000, 960)


async def test_stereo_in_counter_phase_is_heard() -> None:
    wave = np.round(16384 * np.sin(2 * np.pi * 500 * np.arange(960) / 48_000)).astype(np.int16)
    stereo = np.stack([wave, -wave], axis=1).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
    frame.sample_rate = 48_000
    async with RemoteAudioCapture() as microphone:
        microphone.attach_track(Track([frame]))
        heard = await microphone.recv()
    np.testing.assert_allclose(np.abs(heard.samples[0]), np.abs(wave / 32768), atol=1e-3)


async def test_sound_that_comes_unevenly_is_stamped_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = [tone() for _ in range(40)]
    for number, sound in enumerate(sounds):
        sound.pts = 960 * number
    arrivals = iter([NS + number * NS // 50 + number % 2 * NS // 60 for number in range(40)])  # every second one late
    monkeypatch.setattr("livehead.webrtc.remote_tracks.now_ns", lambda: next(arrivals))
    async with RemoteAudioCapture() as microphone:
        microphone.attach_track(Track([*sounds]))
        stamps = [(await microphone.recv()).captured_ns for _ in range(40)]
    assert {after - before for before, after in zip(stamps, stamps[1:], strict=False)} == {NS // 50}


async def test_a_picture_larger_than_any_tracker_needs_is_reduced() -> None:
    large = av.VideoFrame.from_ndarray(np.full((1080, 1920, 3), 90, np.uint8), format="rgb24")
    async with RemoteVideoCapture() as camera:
        camera.attach_track(Track([large]))
        assert (await camera.recv()).size == (1280, 720)


class Bell:
    """A track that gives a picture whenever it is rung."""

    def __init__(self) -> None:
        self.rung: asyncio.Queue[object] = asyncio.Queue()

    async def recv(self) -> object:
        return await self.rung.get()


@pytest.mark.parametrize("passes", range(8))
async def test_a_read_that_is_cancelled_ends_even_if_a_picture_comes_that_moment(passes: int) -> None:
    async with RemoteVideoCapture() as camera:
        bell = Bell()
        camera.attach_track(bell)
        bell.rung.put_nowait(picture(10))
        await camera.recv()
        reading = asyncio.create_task(camera.recv())
        await asyncio.sleep(0.01)
        bell.rung.put_nowait(picture(20))
        for _ in range(passes):  # of the event loop: the picture is on its way to the reader
            await asyncio.sleep(0)
        in_time = reading.cancel()
        await asyncio.wait([reading], timeout=5)
        assert reading.cancelled() is in_time
