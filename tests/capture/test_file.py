from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.capture.file import AudioFileCapture, FileCapture, read_audio
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, VideoFrame
from livehead.interfaces import EndOfStream

from .conftest import HandClock, rest, turn

Writer = Callable[..., Path]


async def everything(capture: FileCapture) -> list[VideoFrame]:
    frames: list[VideoFrame] = []
    async with capture:
        with pytest.raises(EndOfStream):
            await rest(capture, frames)
    return frames


def numbers(frames: list[VideoFrame]) -> list[int]:
    return [round(float(frame.image.mean()) / 8) for frame in frames]


async def test_offline_gives_every_picture_with_its_presentation_time(write_video: Writer) -> None:
    frames = await everything(FileCapture(write_video(), live=False))
    assert numbers(frames) == list(range(10))
    assert [round(frame.seconds * 1000) for frame in frames] == [40 * i for i in range(10)]
    assert [frame.captured_ns for frame in frames] == [40_000_000 * i for i in range(10)]


async def test_a_variable_frame_rate_is_kept(write_video: Writer) -> None:
    times = [0, 40, 50, 300, 310, 900, 940, 1000, 1500, 1501]
    frames = await everything(FileCapture(write_video(times_ms=times), live=False))
    assert [round(frame.seconds * 1000) for frame in frames] == times


async def test_live_gives_each_picture_when_it_is_due(write_video: Writer, hand_clock: HandClock) -> None:
    start = hand_clock.now
    frames = await everything(FileCapture(write_video(), clock=hand_clock.keeping()))
    assert hand_clock.waited_for == [start + 40_000_000 * i for i in range(10)]
    assert [frame.captured_ns for frame in frames] == hand_clock.waited_for


async def test_a_live_reader_that_was_held_up_does_not_race_to_catch_up(
    write_video: Writer, hand_clock: HandClock
) -> None:
    async with FileCapture(write_video(), clock=hand_clock.keeping()) as capture:
        await capture.recv()
        hand_clock.now += 60_000_000_000
        woken = hand_clock.now
        assert (await capture.recv()).captured_ns == woken
        assert (await capture.recv()).captured_ns == woken + 40_000_000


async def test_a_loop_begins_again_while_its_time_goes_on(write_video: Writer) -> None:
    async with FileCapture(write_video(), live=False, loop=True) as capture:
        frames = [await capture.recv() for _ in range(23)]
    assert numbers(frames) == [i % 10 for i in range(23)]
    assert [round(frame.seconds * 1000) for frame in frames] == [40 * i for i in range(23)]


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
async def test_a_phones_rotation_is_applied(write_video: Writer, degrees: int, corner: tuple[int, int]) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = (250, 20, 20)  # red where the sensor's top left is
    path = write_video(images=[image] * 3)
    if degrees:
        turn(path, degrees)
    frame = (await everything(FileCapture(path, live=False)))[0]
    assert frame.size == ((48, 64) if degrees in (90, 270) else (64, 48))
    red = frame.image[..., 0] > 128
    assert red.mean() == pytest.approx(0.25, abs=0.02)
    assert red[corner]


async def test_an_odd_size_is_read_as_it_is(write_video: Writer) -> None:
    images = [np.full((47, 63, 3), 8 * i, np.uint8) for i in range(4)]
    frames = await everything(FileCapture(write_video(images=images, pixels="yuv444p"), live=False))
    assert [frame.size for frame in frames] == [(63, 47)] * 4
    assert numbers(frames) == [0, 1, 2, 3]


async def test_a_file_cut_in_the_middle_gives_what_there_is_and_tells(
    write_video: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    path = write_video(images=list(noise), movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        frames = await everything(FileCapture(path, live=False))
    assert 15 <= len(frames) < 35
    assert "is cut" in caplog.text
    caplog.clear()
    async with FileCapture(path, live=False, loop=True) as capture:
        for _ in range(100):
            await capture.recv()
    assert caplog.text.count("is cut") == 1


async def test_what_cannot_be_read_is_refused_with_a_remedy(tmp_path: Path, write_wav: Writer) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video at all")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    cases = {
        tmp_path / "nothing.mp4": "does not exist",
        tmp_path: "is a folder",
        text: "damaged or no media file",
        empty: "damaged or no media file",
        write_wav(): "has no video stream",
    }
    for path, problem in cases.items():
        with pytest.raises(CaptureError, match=problem) as caught:
            await everything(FileCapture(path))
        assert caught.value.remedy
        assert caught.value.subject == str(path)


def open_files() -> list[str]:
    return [str(link.resolve()) for link in Path("/proc/self/fd").glob("*")]


async def test_leaving_early_frees_the_file(write_video: Writer) -> None:
    path = write_video()
    async with FileCapture(path, live=False) as capture:
        await capture.recv()
        assert str(path) in open_files()
    assert str(path) not in open_files()


def test_sound_is_read_as_mono_at_the_rate_asked(write_wav: Writer) -> None:
    sound = read_audio(write_wav(hz=440.0, rate=44_100, channels=2), rate=16_000)
    assert (sound.rate, sound.samples.shape[0]) == (16_000, 1)
    assert sound.duration_s == pytest.approx(1.0, abs=0.002)
    loudest = np.abs(np.fft.rfft(sound.samples[0, :16_000])).argmax()
    assert loudest == 440
    assert np.abs(sound.samples).max() == pytest.approx(0.5, abs=0.02)


def test_a_video_without_sound_says_so(write_video: Writer) -> None:
    with pytest.raises(CaptureError, match="has no sound"):
        read_audio(write_video())


async def test_sound_comes_in_blocks_once_each_is_recorded(write_wav: Writer, hand_clock: HandClock) -> None:
    path = write_wav()
    start = hand_clock.now
    blocks: list[AudioFrame] = []
    async with AudioFileCapture(path, block_ms=20.0, clock=hand_clock.keeping()) as capture:
        with pytest.raises(EndOfStream):
            await rest(capture, blocks)
    sound = np.concatenate([block.samples for block in blocks], 1)
    assert np.array_equal(sound, np.repeat(read_audio(path).samples, 2, axis=0)), "both channels of the file"
    assert [block.pts for block in blocks[:3]] == [0, 320, 640]
    assert hand_clock.waited_for[1] - hand_clock.waited_for[0] == 20_000_000
    assert blocks[1].captured_ns == hand_clock.waited_for[1] - 20_000_000
    assert blocks[0].captured_ns == start


async def test_offline_sound_and_picture_share_a_clock(write_wav: Writer) -> None:
    async with AudioFileCapture(write_wav(), live=False) as capture:
        assert [(await capture.recv()).captured_ns for _ in range(3)] == [0, 20_000_000, 40_000_000]


async def test_looped_sound_goes_on_without_a_gap(write_wav: Writer) -> None:
    async with AudioFileCapture(write_wav(rate=16_000), rate=16_000, live=False, loop=True) as capture:
        blocks = [await capture.recv() for _ in range(120)]
    assert [block.pts for block in blocks] == [320 * number for number in range(120)]
    sound = np.concatenate([block.samples for block in blocks], 1)
    np.testing.assert_array_equal(sound[:, :16_000], sound[:, 16_000:32_000])


async def test_leaving_early_frees_the_sound_file(write_wav: Writer) -> None:
    path = write_wav()
    async with AudioFileCapture(path, live=False) as capture:
        await capture.recv()
        assert str(path) in open_files()
    assert str(path) not in open_files()


async def test_a_picture_that_no_decoder_takes_is_skipped_and_counted_also_when_the_end_is_not_reached(
    write_video: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "damaged.mp4"
    with av.open(str(write_video())) as given, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.dts is not None:
                copy = av.Packet(b"\xff" * packet.size if number in (2, 3) else bytes(packet))
                copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, stream
                written.mux(copy)
    with caplog.at_level(logging.WARNING):
        async with FileCapture(path, live=False) as capture:
            frames = [await capture.recv() for _ in range(7)]
    assert len(frames) == 7
    assert capture.bad_frames == 2
    assert "2 damaged frames skipped" in caplog.text
