"""A photo is moved by a recorded performer in one pass: the first picture does not wait for the last."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.assembly.animation import AnimationRequest
from livehead.assembly.face_video import animate_by_video
from livehead.assembly.performer_motion import await_first_face, continue_unseen
from livehead.assembly.time_range import TimeRange
from livehead.bench.voice_timing import RATE, synthesize_babble
from livehead.clock import NS
from livehead.config import RunSettings, parse_settings
from livehead.errors import NoFaceError
from livehead.frames import Image
from livehead.motion.keypoints import Keypoints
from livehead.perception.audio_blocks import read_audio_blocks, read_channel_blocks
from livehead.protocol.motion_file import MotionRecorder
from tests.fixtures.sound_files import decibels, join_streams, rewrite_packets, write_sound

ASTRONAUT = Path(__file__).parents[2] / "livehead" / "assets" / "astronaut.png"
FPS = 10
WARP = parse_settings(RunSettings, {"model": "warp", "render_size": 128})


def write_video(path: Path, picture: Image, seconds: float) -> Path:
    """A film of one picture that moves a pixel a frame to the side."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(FPS)})
        stream.height, stream.width = picture.shape[:2]
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number, axis=1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, picture: Image) -> Path:
    return write_video(tmp_path_factory.mktemp("talk") / "talk.mp4", picture, 2.0)


def request_of(driving: Path, out: Path, **more: object) -> AnimationRequest:
    return AnimationRequest(ASTRONAUT, out, WARP, driving=driving, size=(160, 160), **more)  # type: ignore[arg-type]


def picture_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


@pytest.mark.usefixtures("home")
def test_sound_that_is_longer_than_the_video_is_heard_to_its_end(tmp_path: Path, talk: Path) -> None:
    said: list[str] = []
    voice = write_sound(tmp_path / "voice.wav", synthesize_babble(3.5)[None], RATE)
    out = tmp_path / "out.mp4"
    figures = animate_by_video(request_of(talk, out, audio=voice, notify=said.append))
    assert (figures.driving_frames, figures.frames_with_face, figures.frames) == (20, 20, 35)
    assert picture_times(out)[-1] == pytest.approx(3.4, abs=0.01)
    heard = np.concatenate(list(read_audio_blocks(out, RATE)), axis=1)
    assert heard.shape[1] / RATE == pytest.approx(3.5, abs=0.1)
    assert any("voice.wav lasts 1.5 s longer than talk.mp4" in line for line in said)


@pytest.mark.usefixtures("home")
def test_a_part_of_video_and_sound_is_used(tmp_path: Path, talk: Path) -> None:
    half = np.concatenate([np.zeros(RATE, np.float32), synthesize_babble(1.0)])
    voice, out = write_sound(tmp_path / "voice.wav", half[None], RATE), tmp_path / "out.mp4"
    figures = animate_by_video(request_of(talk, out, audio=voice, time_range=TimeRange(1.0, 1.8)))
    assert figures.frames == 8
    heard = np.concatenate(list(read_audio_blocks(out, RATE)), axis=1)[0]
    assert len(heard) / RATE == pytest.approx(0.8, abs=0.1)
    assert np.abs(heard[: RATE // 2]).max() > 0.01, "the first second, which is silent, is left out"


@pytest.mark.usefixtures("home")
def test_recorded_motion_moves_an_avatar_once(tmp_path: Path, source: Keypoints) -> None:
    recording, out = tmp_path / "face.npz", tmp_path / "out.mp4"
    with MotionRecorder(recording) as recorder:
        for number in range(15):
            moved = source.value + np.float32(0.002 * number)
            recorder.add(replace(source.with_points(moved), captured_ns=5 * NS + number * NS // FPS))
    figures = animate_by_video(request_of(recording, out))
    assert figures.frames == 15
    assert picture_times(out)[-1] == pytest.approx(1.4, abs=0.01)


@pytest.mark.usefixtures("home")
def test_the_first_picture_is_written_long_before_the_video_was_read(tmp_path: Path, picture: Image) -> None:
    long_talk = write_video(tmp_path / "long.mp4", picture, 30.0)
    figures = animate_by_video(request_of(long_talk, tmp_path / "out.mp4"))
    assert figures.first_picture_s < figures.taken_s / 3


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are Unix's")
def test_an_interrupted_run_leaves_a_film_that_plays(tmp_path: Path, picture: Image, number: signal.Signals) -> None:
    long_talk, out = write_video(tmp_path / "long.mp4", picture, 60.0), tmp_path / "out.mp4"
    command = [sys.executable, "-m", "livehead", "animate", "--avatar", str(ASTRONAUT), "--driving", str(long_talk)]
    command += ["--out", str(out), "--model", "warp", "--size", "160x160", "--render-size", "128"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: has_content(tmp_path), process)
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "out.mp4 holds the first" in said
    assert 0 < len(picture_times(out)) < 600


def has_content(folder: Path) -> bool:
    """Whether anything of the result was written, under whatever name it grows."""
    return any(file.stat().st_size > 10_000 for file in folder.iterdir() if "out" in file.name)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def moments(source: Keypoints, confidences: str) -> Iterator[Keypoints]:
    for number, mark in enumerate(confidences):
        yield replace(source, confidence=np.full(1, float(mark), np.float32), captured_ns=number * NS)


def test_a_recording_without_a_face_is_told_before_anything_is_written(source: Keypoints) -> None:
    with pytest.raises(NoFaceError):
        await_first_face(moments(source, "0000"), Path("x.mp4"))
    found = await_first_face(moments(source, "0011"), Path("x.mp4"))
    assert [motion.seen for motion in found] == [False, False, True, True]


def test_a_face_may_come_late_but_must_come(source: Keypoints) -> None:
    with pytest.raises(NoFaceError):
        list(await_first_face(moments(source, "0" * 90), Path("x.mp4")))
    assert len(list(await_first_face(moments(source, "0" * 90 + "1"), Path("x.mp4")))) == 91


def test_motion_goes_on_unseen_at_the_same_pace(source: Keypoints) -> None:
    told: list[float] = []
    motions = list(continue_unseen(moments(source, "11"), 5 * NS, told.append))
    assert [motion.captured_ns // NS for motion in motions] == [0, 1, 2, 3, 4]
    assert [motion.seen for motion in motions] == [True, True, False, False, False]
    assert told == [3.0]


def test_motion_with_times_that_cannot_be_right_goes_on_at_a_usual_pace(source: Keypoints) -> None:
    crowded = (replace(motion, captured_ns=motion.captured_ns // 1875) for motion in moments(source, "111"))
    assert len(list(continue_unseen(crowded, 2 * NS, lambda seconds: None))) == pytest.approx(2 * 25 + 2, abs=2)


def test_a_moment_more_of_sound_adds_no_pictures(source: Keypoints) -> None:
    told: list[float] = []
    assert len(list(continue_unseen(moments(source, "11"), 2 * NS + NS // 3, told.append))) == 2
    assert not told


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("damaged", ["a few", "all"])
def test_damaged_sound_of_a_video_is_skipped_and_told(
    tmp_path: Path, talk: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    voice = synthesize_babble(2.0)
    whole = write_sound(tmp_path / "whole.m4a", np.stack([voice, -voice]), RATE, codec="aac", layout="stereo")
    broken = rewrite_packets(whole, tmp_path / "broken.m4a", damaged=range(5, 9) if damaged == "a few" else range(999))
    driving, out = join_streams(talk, broken, tmp_path / "driving.mp4"), tmp_path / "out.mp4"
    said: list[str] = []
    figures = animate_by_video(request_of(driving, out, notify=said.append))
    assert figures.frames == 20
    with av.open(str(out)) as film:
        has_sound = bool(film.streams.audio)
    if damaged == "all":
        assert not has_sound
        assert f"the sound of {driving} cannot be read, so the film is silent" in said
        return
    assert "4 damaged pieces of sound skipped" in caplog.text
    given, kept = (np.concatenate(list(read_channel_blocks(path, RATE)), axis=1) for path in (driving, out))
    assert kept.shape[0] == 2
    assert decibels(kept) == pytest.approx(decibels(given), abs=0.5)
