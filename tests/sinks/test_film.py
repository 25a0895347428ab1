"""Films of every kind come back as they were sent: pictures, transparency, sound, and what a kill leaves of them."""

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
import cv2
import numpy as np
import pytest

from livehead.capture.file import FileCapture, read_audio
from livehead.clock import NS
from livehead.errors import LostRecordingError, SinkError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.sinks.film import open_film

START = 5_000 * NS
RATE = 48_000
SIZE = (160, 128)


def oval(shift: int = 0) -> Image:
    """An orange oval with a soft edge before a green room that is transparent: uint8 [128, 160, 4]."""
    width, height = SIZE
    y, x = np.indices((height, width))
    distance = np.hypot((x - width / 2 - shift) / 1.2, y - height / 2)
    alpha = np.clip((40 - distance) * 64, 0, 255).astype(np.uint8)
    colour = np.where((distance < 44)[..., None], (220, 120, 40), (0, 255, 0)).astype(np.uint8)
    return np.dstack([colour, alpha])


def picture(seconds: float, image: Image) -> VideoFrame:
    return VideoFrame(image, 0, Fraction(1, 30), START + round(seconds * NS))


def read_transparent(path: Path) -> list[Image]:
    """The pictures of a film with their alpha; that of WebM only libvpx decodes."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if path.suffix != ".webm":
            return [frame.to_ndarray(format="rgba") for frame in container.decode(stream)]
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        return [
            frame.to_ndarray(format="rgba") for packet in container.demux(stream) for frame in decoder.decode(packet)
        ]


async def played(path: Path) -> list[VideoFrame]:
    """The pictures that a player shows, without one that is cut off."""
    frames = []
    async with FileCapture(path, live=False) as capture:
        while True:
            try:
                frames.append(await capture.recv())
            except EndOfStream:
                return frames


async def record(path: Path, count: int, *, live: bool = False) -> None:
    async with open_film(path, live=live) as film:
        for number in range(count):
            await film.send(picture(number / 30, oval(number)))


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
async def test_transparency_comes_back_and_the_room_behind_does_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    sent = [oval(shift) for shift in range(10)]
    async with open_film(path) as film:
        for number, image in enumerate(sent):
            await film.send(picture(number / 30, image))
    back = read_transparent(path)
    assert len(back) == len(sent)
    for before, after in zip(sent, back, strict=True):
        assert np.abs(before[..., 3].astype(int) - after[..., 3]).mean() < 2
        solid = before[..., 3] == 255
        assert np.abs(before[solid].astype(int) - after[solid])[:, :3].mean() < 6
        far = cv2.dilate(before[..., 3], np.ones((41, 41), np.uint8)) == 0
        assert after[far][:, 1].max() < 60  # the green room is gone
    with av.open(str(path)) as container:
        wanted = {".webm": ("vp9", "4444"), ".mov": ("prores", "4444")}[suffix]
        assert container.streams.video[0].codec_context.name == wanted[0]
        if suffix == ".mov":
            assert container.streams.video[0].codec_context.profile == wanted[1]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov"])
async def test_pictures_without_alpha_come_back_at_their_times_with_their_sound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    tone = np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE).astype(np.float32) * 0.5
    async with open_film(path, audio_rate=RATE, audio_channels=2, live=True) as film:
        for number in range(30):
            await film.send(picture(number / 30, np.full((128, 160, 3), 30 + 5 * number, np.uint8)))
            block = np.stack([tone[number * 1600 :][:1600], tone[number * 1600 :][:1600] * 0])
            await film.send(AudioFrame(block, RATE, 0, START + round(number / 30 * NS)))
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert [frame.time for frame in frames] == pytest.approx([number / 30 for number in range(30)], abs=0.002)
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in frames]
        assert levels == pytest.approx([30 + 5 * number for number in range(30)], abs=4)
        assert container.streams.audio[0].codec_context.channels == 2
    heard = read_audio(path, RATE).samples
    assert np.abs(heard).mean() == pytest.approx(0.5 * 2 / np.pi / 2, abs=0.04) or heard.shape[0] == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov"])
async def test_every_number_of_channels_is_written(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"film{suffix}"
    async with open_film(path, audio_rate=RATE, audio_channels=channels) as film:
        await film.send(picture(0, oval()[..., :3]))
        await film.send(AudioFrame(np.zeros((channels, RATE), np.float32), RATE, 0, START))
        await film.send(picture(1, oval()[..., :3]))
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= RATE * 0.95


async def test_a_transparent_film_without_alpha_is_drawn_over_black(tmp_path: Path) -> None:
    async with open_film(tmp_path / "film.mp4") as film:
        await film.send(picture(0, oval()))
    (back,) = read_transparent(tmp_path / "film.mp4")
    assert back[4, 4, :3].max() < 16


async def test_pictures_are_numbered_and_keep_their_alpha(tmp_path: Path) -> None:
    async with open_film(tmp_path / "frames" / "%03d.png") as film:
        for number in range(3):
            await film.send(picture(number / 30, oval(number)))
        assert list((tmp_path / "frames").glob("*.png")) == []  # they appear together
    assert sorted(os.listdir(tmp_path / "frames")) == ["001.png", "002.png", "003.png"]
    last = cv2.cvtColor(cv2.imread(str(tmp_path / "frames" / "003.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    np.testing.assert_array_equal(last[..., 3], oval(2)[..., 3])
    assert (last[oval(2)[..., 3] == 255] == oval(2)[oval(2)[..., 3] == 255]).all()
    assert last[0, 0].tolist() == [0, 0, 0, 0]


async def test_a_folder_that_is_there_gets_the_pictures(tmp_path: Path) -> None:
    async with open_film(tmp_path) as film:
        await film.send(picture(0, oval()))
    assert os.listdir(tmp_path) == ["00001.png"]


async def test_a_single_picture_is_the_first(tmp_path: Path) -> None:
    async with open_film(tmp_path / "me.png") as film:
        for number in range(3):
            await film.send(picture(number / 30, oval(number)))
    first = cv2.imread(str(tmp_path / "me.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(first[..., 3], oval(0)[..., 3])
    assert os.listdir(tmp_path) == ["me.png"]


async def test_live_pictures_keep_time_by_repeating(tmp_path: Path) -> None:
    async with open_film(tmp_path / "%d.png", fps=10, live=True) as film:
        for seconds in (0.0, 0.1, 0.5, 0.52):
            await film.send(picture(seconds, oval(round(seconds * 10))))
    assert sorted(os.listdir(tmp_path)) == [f"{number}.png" for number in range(1, 7)]


async def test_earlier_pictures_stay_until_all_new_ones_are_there(tmp_path: Path) -> None:
    for number in range(1, 6):
        (tmp_path / f"{number}.png").write_bytes(b"earlier")
    (tmp_path / "notes.txt").write_text("mine")
    recording = asyncio.create_task(record(tmp_path / "%d.png", 10_000))
    await asyncio.sleep(0.5)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    assert [(tmp_path / f"{number}.png").read_bytes() for number in range(1, 6)] == [b"earlier"] * 5
    assert (tmp_path / "unfinished" / "1.png").exists()
    await record(tmp_path / "%d.png", 2)
    assert sorted(os.listdir(tmp_path)) == ["1.png", "2.png", "notes.txt", "unfinished"]
    assert (tmp_path / "1.png").read_bytes() != b"earlier"


async def test_earlier_pictures_are_not_replaced_without_leave(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"earlier")
    with pytest.raises(SinkError, match="exists already: give --overwrite"):
        async with open_film(tmp_path / "%d.png", overwrite=False):
            pass


async def test_an_earlier_film_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"earlier")
    async with open_film(path) as film:
        for number in range(40):
            await film.send(picture(number / 30, oval(number)))
        assert path.read_bytes() == b"earlier"
    assert len(read_transparent(path)) == 40
    assert os.listdir(tmp_path) == ["film.mp4"]


async def test_a_full_disk_says_where_the_part_is_and_leaves_the_earlier_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"earlier")
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(script), str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"what was written so far is in {tmp_path / 'film.unfinished.mp4'}" in done.stdout
    assert path.read_bytes() == b"earlier"
    assert len(await played(tmp_path / "film.unfinished.mp4")) >= 30


LIMITED = textwrap.dedent("""
    import asyncio, resource, sys
    from fractions import Fraction
    from pathlib import Path
    import numpy as np
    from livehead.errors import LostRecordingError
    from livehead.frames import VideoFrame
    from livehead.sinks.film import open_film

    async def record():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
        noise = np.random.default_rng(0)
        async with open_film(Path(sys.argv[1])) as film:
            for i in range(400):
                image = noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)
                await film.send(VideoFrame(image, 0, Fraction(1, 30), i * 33_333_333))

    try:
        asyncio.run(record())
    except LostRecordingError as error:
        print(error)
""")

KILLED = textwrap.dedent("""
    import asyncio, os, sys
    from fractions import Fraction
    from pathlib import Path
    import numpy as np
    from livehead.frames import AudioFrame, VideoFrame
    from livehead.sinks.film import open_film

    async def record():
        channels, path = int(sys.argv[2]), Path(sys.argv[1])
        noise = np.random.default_rng(0)
        async with open_film(path, live=True, audio_rate=48_000) as film:
            for i in range(150):
                image = noise.integers(0, 256, (96, 128, channels), dtype=np.uint8)
                await film.send(VideoFrame(image, 0, Fraction(1, 30), i * 33_333_333))
                await film.send(AudioFrame(np.zeros((1, 1600), np.float32), 48_000, 0, i * 33_333_333))
            os.kill(os.getpid(), 9)

    asyncio.run(record())
""")


@pytest.mark.parametrize(
    ("name", "channels"), [("a.mp4", 3), ("a.webm", 3), ("a.mov", 3), ("a.webm", 4), ("a.mov", 4), ("%03d.png", 4)]
)
def test_after_a_kill_all_but_the_last_second_plays(tmp_path: Path, name: str, channels: int) -> None:
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(channels)], timeout=90, check=False)
    assert done.returncode == -signal.SIGKILL
    if path.suffix == ".png":
        assert len(list(tmp_path.glob("*.png"))) == 150
    else:
        assert len(read_transparent(path)) >= 150 - 45


async def test_a_device_that_is_full_loses_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    path.symlink_to("/dev/full")
    with pytest.raises(LostRecordingError, match="No space left"):
        await record(path, 200, live=True)
