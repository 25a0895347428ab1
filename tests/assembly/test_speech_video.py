"""One photo and speech are enough for a video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.assembly.speech_video import estimate_voice_motion
from livehead.bench.voice_timing import RATE, synthesize_babble
from livehead.cli import EXIT_BAD_INPUT, main
from livehead.clock import NS
from livehead.drivers.voice import VoiceDriver
from livehead.evaluation.speech import lip_opening
from livehead.frames import Samples
from livehead.models.voice.build import load_voice_model
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.perception.audio_blocks import read_audio_blocks, read_channel_blocks
from tests.fixtures.sound_files import decibels, write_sound

ASTRONAUT = Path(__file__).parents[2] / "livehead" / "assets" / "astronaut.png"


def write_wav(path: Path, sound: Samples, rate: int = RATE) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        whole = np.ascontiguousarray((sound.clip(-1, 1) * 32767).astype(np.int16)[None])
        frame = av.AudioFrame.from_ndarray(whole, "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def source() -> Keypoints:
    return mesh_keypoints(load_mean_face() * np.float32(0.5), 1.0, 0)


def animate(sound: Path, out: Path, *more: str) -> int:
    command = ["animate", "--avatar", str(ASTRONAUT), "--audio", str(sound), "--out", str(out), "--model", "warp"]
    return main([*command, "--size", "160x160", "--render-size", "128", *more])


def test_speech_becomes_a_video_with_that_speech_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    sound = np.concatenate([np.zeros(RATE // 2, np.float32), synthesize_babble(1.1)])
    path, out = write_wav(tmp_path / "speech.wav", sound), tmp_path / "out.mp4"
    assert animate(path, out, "--fps", "25", "--json", str(tmp_path / "figures.json")) == 0
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == 40
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=2e-3)
    heard = np.concatenate(list(read_audio_blocks(out, RATE)), axis=1)[0]
    assert abs(len(heard) - len(sound)) < 0.1 * RATE
    length = min(len(heard), len(sound))
    along = np.fft.irfft(np.fft.rfft(heard[:length], 2 * length) * np.conj(np.fft.rfft(sound[:length], 2 * length)))
    late = int(along.argmax())
    late = late - 2 * length if late > length else late
    assert abs(late) / RATE < 1 / 25


def test_motion_is_of_the_picture_s_own_moment_and_lasts_as_long_as_the_sound(source: Keypoints) -> None:
    sound = np.concatenate([np.zeros(RATE, np.float32), synthesize_babble(1.0)])

    def pieces() -> Iterator[Samples]:
        yield from np.array_split(sound[None], 7, axis=1)

    motions = list(estimate_voice_motion(VoiceDriver(source, load_voice_model()), pieces(), 30))
    assert [motion.captured_ns for motion in motions] == [round(number / 30 * NS) for number in range(60)]
    opened = lip_opening(np.stack([motion.points3d()[0] for motion in motions]))
    assert opened[:27].max() < 0.3 * opened[33:].max()


def test_an_hour_is_never_held_in_memory(source: Keypoints) -> None:
    asked = 0

    def endless() -> Iterator[Samples]:
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros((1, RATE // 10), np.float32)

    motions = estimate_voice_motion(VoiceDriver(source, load_voice_model()), endless(), 25)
    for _ in range(50):
        next(motions)
    assert asked <= 22


@pytest.mark.parametrize(("content", "said"), [(b"no sound", "no media file"), (None, "does not exist")])
def test_what_is_no_speech_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    path = tmp_path / "speech.wav"
    if content is not None:
        path.write_bytes(content)
    assert animate(path, tmp_path / "out.mp4") == EXIT_BAD_INPUT
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out.mp4").exists()


def test_a_picture_is_no_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert animate(ASTRONAUT, tmp_path / "out.mp4") == EXIT_BAD_INPUT
    assert "has no sound" in capsys.readouterr().err


def test_without_a_performer_or_speech_there_is_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["animate", "--avatar", str(ASTRONAUT), "--out", str(tmp_path / "out.mp4")]) == EXIT_BAD_INPUT
    assert "--audio" in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--fps", "0"), ("--fps", "1e9"), ("--debug-panels",)])
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    path = write_wav(tmp_path / "speech.wav", synthesize_babble(0.2))
    assert animate(path, tmp_path / "out.mp4", *more) == EXIT_BAD_INPUT
    assert "livehead animate: " in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_the_film_keeps_channels_and_loudness_and_the_mouth_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    voice = synthesize_babble(1.0)
    silence = np.zeros_like(voice)
    channels = [voice, -voice] if layout == "stereo" else [silence, silence, voice, silence, silence, silence]
    path, out = tmp_path / "speech.flac", tmp_path / "out.mp4"
    write_sound(path, np.stack(channels), RATE, layout=layout)
    assert animate(path, out, "--fps", "10") == 0
    film = np.concatenate(list(read_channel_blocks(out, RATE)), axis=1)
    assert film.shape[0] == len(channels)
    for given, kept in zip(channels, film, strict=True):
        if given.any():
            assert decibels(kept[: len(given)]) == pytest.approx(decibels(given), abs=0.3)
    heard = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)[0]
    assert decibels(heard) == pytest.approx(decibels(voice), abs=0.1), "what the driver hears"
