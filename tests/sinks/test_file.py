from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.capture.file import FileCapture, read_audio
from livehead.clock import NS
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.sinks.file import FileSink

START = 5_000 * NS  # the monotonic clock does not begin at 0
RATE = 16_000


def picture(seconds: float, image: Image | int = 90, size: tuple[int, int] = (64, 48)) -> VideoFrame:
    if isinstance(image, int):
        image = np.full((size[1], size[0], 3), image, np.uint8)
    return VideoFrame(image, 0, Fraction(1, 30), START + round(seconds * NS))


def sound(seconds: float, samples: np.ndarray) -> AudioFrame:
    return AudioFrame(samples.astype(np.float32)[None], RATE, 0, START + round(seconds * NS))


async def record(path: Path, count: int) -> None:
    async with FileSink(path) as sink:
        for i in range(count):
            await sink.send(picture(i / 30))


async def played(path: Path) -> list[VideoFrame]:
    frames = []
    async with FileCapture(path, live=False) as capture:
        while True:
            try:
                frames.append(await capture.recv())
            except EndOfStream:
                return frames


async def test_pictures_come_back_in_colour_at_their_own_times(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.07, 0.4, 0.433, 1.0]
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = (
        (200, 30, 30),
        (30, 200, 30),
        (30, 30, 200),
        128,
    )
    async with FileSink(tmp_path / "out.mp4") as sink:
        for time in times:
            await sink.send(picture(time, image))
    frames = await played(tmp_path / "out.mp4")
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=1e-4)
    for row, column in ((12, 16), (12, 48), (36, 16), (36, 48)):
        assert np.abs(frames[0].image[row, column].astype(int) - image[row, column]).max() <= 6
    assert sink.frame_count == len(times)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(times[-1] + 1 / 30, abs=0.005)


async def test_the_file_is_an_ordinary_mp4_that_players_take(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    async with FileSink(path, audio_rate=RATE) as sink:
        for i in range(40):
            await sink.send(picture(i / 30))
            await sink.send(sound(i / 30, np.zeros(533)))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec.name, video.codec_context.pix_fmt, audio.codec.name) == ("h264", "yuv420p", "aac")
        assert (video.codec_context.colorspace, video.codec_context.color_range) == (1, 1)
        assert float(container.duration / av.time_base) == pytest.approx(40 / 30, abs=0.05)
        assert (video.start_time, audio.start_time) == (0, 0)


async def test_a_click_is_heard_when_its_flash_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    track = np.zeros(3 * RATE)
    for moment in (1.0, 2.5):
        track[int(moment * RATE) :][:160] = 0.8
    async with FileSink(path, audio_rate=RATE) as sink:
        for i in range(90):
            lit = i / 30 in (1.0, 2.5)
            await sink.send(picture(i / 30, 235 if lit else 10))
            block = slice(i * RATE // 30, (i + 1) * RATE // 30)
            await sink.send(sound(block.start / RATE, track[block]))
    flashes = [frame.seconds for frame in await played(path) if frame.image.mean() > 128]
    heard = read_audio(path, RATE).samples[0]
    clicks = [int(np.argmax(np.abs(heard[int(t * RATE) :]) > 0.3)) / RATE + t for t in (0.5, 2.0)]
    assert flashes == pytest.approx([1.0, 2.5], abs=1e-3)
    assert clicks == pytest.approx([1.0, 2.5], abs=0.003)


async def test_sound_keeps_its_time_through_an_early_start_and_a_gap(tmp_path: Path) -> None:
    """The microphone starts before the first picture and loses half a second later on."""
    path = tmp_path / "out.mp4"
    loud = np.full(RATE // 10, 0.5) * np.sign(np.sin(np.arange(RATE // 10)))
    async with FileSink(path, audio_rate=RATE) as sink:
        for i in range(4):
            await sink.send(sound(-0.4 + i / 10, 0 * loud))
        await sink.send(picture(0))
        await sink.send(sound(0.0, 0 * loud))
        await sink.send(sound(0.1, loud))
        await sink.send(sound(0.7, loud))
        await sink.send(picture(0.8))
    level = np.abs(read_audio(path, RATE).samples[0])
    assert level[int(0.12 * RATE) : int(0.18 * RATE)].mean() > 0.3
    assert level[int(0.25 * RATE) : int(0.65 * RATE)].max() < 0.1
    assert level[int(0.72 * RATE) : int(0.78 * RATE)].mean() > 0.3


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (17, 16), (1280, 720)])
async def test_any_size_is_written_and_the_content_stays_in_place(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    async with FileSink(path) as sink:
        for i in range(3):
            await sink.send(picture(i / 30, 150, size))
    frames = await played(path)
    assert len(frames) == 3
    assert frames[0].size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert np.abs(frames[0].image.astype(int) - 150).max() <= 6


async def test_a_change_of_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    async with FileSink(tmp_path / "out.mp4") as sink:
        await sink.send(picture(0.0, 100, (64, 48)))
        await sink.send(picture(0.1, 200, (32, 24)))
    frames = await played(tmp_path / "out.mp4")
    assert [frame.size for frame in frames] == [(64, 48)] * 2
    assert frames[1].image.mean() == pytest.approx(200, abs=4)


async def test_pictures_that_do_not_advance_in_time_are_left_out(tmp_path: Path) -> None:
    async with FileSink(tmp_path / "out.mp4") as sink:
        for time in (0.0, 0.1, 0.1, 0.05, 0.2):
            await sink.send(picture(time))
    assert sink.frame_count == 3
    assert len(await played(tmp_path / "out.mp4")) == 3


async def test_a_cancelled_recording_is_finalised(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    recording = asyncio.create_task(record(path, 10_000))
    await asyncio.sleep(0.2)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    assert len(await played(path)) > 10


async def test_without_a_picture_no_file_is_left(tmp_path: Path) -> None:
    await record(tmp_path / "out.mp4", 0)
    assert os.listdir(tmp_path) == []


async def test_where_it_cannot_write_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    cases = {
        tmp_path / "missing" / "out.mp4": "mkdir -p",
        tmp_path / "folder.mp4": "give the name of a file",
        tmp_path / "out.avi": "ends in .mp4",
    }
    for path, remedy in cases.items():
        with pytest.raises(SinkError) as caught:
            async with FileSink(path):
                pass
        assert remedy in caught.value.remedy
        assert "\n" not in str(caught.value)


RECORD = textwrap.dedent("""
    import asyncio, os, resource, sys
    from fractions import Fraction
    import numpy as np
    from livehead.errors import SinkError
    from livehead.frames import VideoFrame
    from livehead.sinks.file import FileSink

    async def record(path, kill_after, limit):
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        noise = np.random.default_rng(0)
        async with FileSink(path) as sink:
            for i in range(400):
                if i == kill_after:
                    os.kill(os.getpid(), 9)
                image = noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)
                await sink.send(VideoFrame(image, 0, Fraction(1, 30), i * 33_333_333))

    try:
        asyncio.run(record(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    except SinkError as error:
        print(error)
""")


def record_apart(path: Path, *, kill_after: int = -1, limit: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RECORD, str(path), str(kill_after), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_after_a_crash_what_was_written_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    ended = await asyncio.to_thread(record_apart, path, kill_after=200)
    assert ended.returncode == -signal.SIGKILL
    assert 100 <= len(await played(path)) < 200


@pytest.mark.skipif(os.name != "posix", reason="limits of a file's size are POSIX")
async def test_a_full_disk_is_told_and_what_was_written_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    ended = await asyncio.to_thread(record_apart, path, limit=1_500_000)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "free some space or choose another folder" in ended.stdout
    assert len(await played(path)) >= 30


async def test_a_device_that_is_full_is_told(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.symlink_to("/dev/full")
    with pytest.raises(SinkError, match="No space left"):
        await record(path, 300)
