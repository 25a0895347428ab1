"""A part of a video is decoded from the key frame before it, with times that count from the part's start."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.capture.file import read_video_frames
from livehead.clock import NS
from livehead.errors import CaptureError
from livehead.perception.media_length import measure_sound_s, measure_video_s, read_frame_rate
from tests.fixtures.sound_files import write_sound

FPS = 25


def write_numbered(path: Path, count: int, first_pts: int = 0) -> Path:
    """A film whose pictures are as bright as their number, with reordered frames and a key frame every two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "50", "bf": "2", "crf": "1"})
        stream.width = stream.height = 64
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = first_pts + number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "first_pts"), [("a.mp4", 0), ("a.mkv", 0), ("a.mkv", 75), ("a.ts", 0)])
def test_a_part_begins_and_ends_at_the_frame(tmp_path: Path, name: str, first_pts: int) -> None:
    path = write_numbered(tmp_path / name, 200, first_pts)
    whole = [int(frame.image.mean().round()) for frame in read_video_frames(path)]
    part = list(read_video_frames(path, 3.0, 5.0))
    assert [int(frame.image.mean().round()) for frame in part] == whole[75:125]
    assert part[0].captured_ns == pytest.approx(0, abs=NS // 100)
    assert part[-1].captured_ns == pytest.approx(49 * NS // FPS, abs=NS // 100)


def test_pictures_that_an_avi_keeps_out_of_order_are_shown_at_their_rate(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.avi", 200)
    frames = list(read_video_frames(path))
    assert frames[-1].captured_ns / NS == pytest.approx(199 / FPS, abs=0.1)
    part = list(read_video_frames(path, 3.0, 5.0))
    assert len(part) == pytest.approx(50, abs=2)
    assert part[0].image.mean() == pytest.approx(75, abs=3)


def test_a_part_behind_the_end_is_told(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 20)
    with pytest.raises(CaptureError, match="no picture after 3 s"):
        list(read_video_frames(path, 3.0))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_lengths_are_told_without_decoding(tmp_path: Path, name: str) -> None:
    path = write_numbered(tmp_path / name, 100)
    assert measure_video_s(path) == pytest.approx(4.0, abs=0.1)
    assert read_frame_rate(path) == pytest.approx(FPS, abs=0.1)
    assert measure_sound_s(path) == 0


@pytest.mark.parametrize(("name", "codec"), [("a.wav", ""), ("a.flac", ""), ("a.mp3", "libmp3lame"), ("a.aac", "aac")])
def test_the_length_of_sound_is_known_also_without_a_header(tmp_path: Path, name: str, codec: str) -> None:
    sound = np.sin(np.arange(3 * 16_000, dtype=np.float32))[None] / 4
    assert measure_sound_s(write_sound(tmp_path / name, sound, 16_000, codec=codec)) == pytest.approx(3.0, abs=0.3)
