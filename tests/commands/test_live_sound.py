"""``livehead run --driver voice`` with a real PulseAudio server for microphone and cable, from outside."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.assembly.live_avatar import make_driver
from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.audio.ring import AudioRingBuffer
from livehead.bench.av_offset import measure_file_offset
from livehead.bench.harness.pulseaudio_server import (
    CABLE,
    INSTALL_REMEDY,
    MICROPHONE,
    PulseServer,
    find_missing_package,
)
from livehead.bench.vowel_bursts import RATE, synthesize_vowel_bursts, write_wav
from livehead.capture.tts_input import PushedAudioCapture
from livehead.cli import EXIT_BAD_INPUT, main
from livehead.clock import NS, PlaybackClock
from livehead.evaluation.speech import lip_opening
from livehead.interfaces import DriverInputs
from livehead.perception.audio_blocks import read_channel_blocks
from tests.fixtures.sound_files import rewrite_packets, write_sound

needs_pulse = pytest.mark.skipif(find_missing_package() is not None, reason=f"needs {INSTALL_REMEDY}")
IN_STEP_MS = 66  # two frames, for a busy machine; scripts/measure_av_offset.py measures it
AV_OFFSET_SCRIPT = Path(__file__).parents[2] / "scripts" / "devices" / "av_offset.py"
TEXT = "Hello there. My papa bought a big apple. One photo and a voice are enough. Bye bye for now, Barbara."


@contextmanager
def running(photo: Path, home: Path, *arguments: object, server: PulseServer | None = None) -> Iterator[list[str]]:
    """``livehead run`` from its first frame on; at the end it is interrupted, and what it said is complete."""
    command = [sys.executable, "-m", "livehead", "run", "--avatar", str(photo), "--driver", "voice", "--model", "warp"]
    command += ["--size", "320x320", "--render-size", "256", *map(str, arguments)]
    environment = {**os.environ, "LIVEHEAD_HOME": str(home), **(server.environment if server else {})}
    said: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                said.append(line)
                if line.startswith("first frame"):
                    break
            else:
                pytest.fail("".join(said))
            yield said
        finally:
            process.terminate()
            said += process.stderr.readlines()
            process.wait(timeout=20)
    assert process.returncode == 0, said


def speech(path: Path) -> Path:
    """espeak-ng's voice where it is installed, else vowels."""
    if shutil.which("espeak-ng"):
        subprocess.run(["espeak-ng", "-w", str(path), TEXT], check=True)
    else:
        write_wav(path, synthesize_vowel_bursts(6))
    return path


def loud_seconds(recording: Path) -> np.ndarray:
    """Which tenths of a second of a recording are loud."""
    with av.open(str(recording)) as container:
        sound = np.concatenate([block.to_ndarray()[0] for block in container.decode(audio=0)])
    return np.abs(sound[: len(sound) // 4800 * 4800].reshape(-1, 4800)).max(axis=1) > 0.05


@needs_pulse
def test_a_spoken_word_moves_the_mouth_in_step_and_a_lost_microphone_comes_back(
    tmp_path: Path, photo: Path, home: Path
) -> None:
    recording, figures = tmp_path / "out.mp4", tmp_path / "run.json"
    said_file = speech(tmp_path / "say.wav")
    devices = ("--microphone", MICROPHONE, "--sound-out", CABLE)
    with (
        PulseServer() as server,
        running(photo, home, *devices, "--sink", f"file:{recording}", "--json", figures, server=server) as said,
    ):
        assert server.play(said_file).wait() == 0
        server.stop()
        time.sleep(1.5)
        server.start()
        time.sleep(1.5)
        assert server.play(said_file).wait() == 0
        time.sleep(1.0)
    offset = measure_file_offset(recording)
    assert abs(offset.ms) <= IN_STEP_MS
    loud = np.flatnonzero(loud_seconds(recording))
    assert np.diff(loud).max() >= 15, "silence while the server was away, and speech on both sides of it"
    counts = json.loads(figures.read_text())["results"]["counts"]
    assert counts["microphone.lost"] == 1
    assert counts["sound_out.lost"] == 1
    assert "microphone lost 1 times" in said[-1]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_another_program_speaks_and_is_silenced(tmp_path: Path, photo: Path, home: Path) -> None:
    recording, path = tmp_path / "out.mp4", tmp_path / "speech"
    vowel = (synthesize_vowel_bursts(30, seed=1) * 32767).astype("<i2").tobytes()
    with (
        running(photo, home, "--microphone", f"speech:{path}", "--sink", f"file:{recording}"),
        socket.socket(socket.AF_UNIX) as writer,
        socket.socket(socket.AF_UNIX) as clearing,
    ):
        writer.connect(str(path))
        writer.sendall(f"livehead-pcm {RATE} 1 s16le\n".encode() + vowel[: 4 * RATE])
        time.sleep(4.0)
        clearing.connect(str(path))
        clearing.sendall(b"livehead-clear\n")
        time.sleep(1.5)
    loud = loud_seconds(recording)
    assert loud.any()
    assert not loud[-10:].any()
    assert abs(measure_file_offset(recording).ms) <= IN_STEP_MS


class HandClock:
    """Moves only when somebody waits for it."""

    now = 10**12

    async def sleep_until(self, deadline_ns: int) -> None:
        self.now = max(self.now, deadline_ns)


@pytest.mark.parametrize("phase_ms", [0, 11, 22])
async def test_after_clear_the_mouth_is_shut_within_100_ms(phase_ms: int) -> None:
    clock, ring = HandClock(), AudioRingBuffer()
    driver = make_driver("voice", [bundled_portrait(DRAWN_PORTRAIT)])
    vowel = next(part for part in np.split(synthesize_vowel_bursts(4, seed=5), 8) if np.abs(part[:480]).max() > 0.3)
    since_ms: list[float] = []
    mouth: list[float] = []
    async with PushedAudioCapture(clock=PlaybackClock(lambda: clock.now, clock.sleep_until)) as speech:
        speech.push(np.tile(vowel, 20), RATE)
        start_ns = tick_ns = clock.now
        for block in range(300):
            if block == 200:
                speech.clear()
            ring.put(await speech.recv())
            if clock.now >= tick_ns + phase_ms * 1_000_000:
                tick_ns += NS // 30
                motion = driver.estimate(DriverInputs(None, ring.read_newest(clock.now), clock.now))
                since_ms.append((clock.now - start_ns) / 1e6 - 2000)
                mouth.append(float(lip_opening(motion.points3d())[0]))
    times, opened = np.array(since_ms), np.array(mouth)
    spoken = opened[(times > -1000) & (times <= 0)].max()
    assert spoken > 0.02
    assert opened[times >= 100].max() < 0.02 * spoken
    assert opened[times > 75].max() < 0.1 * spoken, "since drawing takes time too"


def test_a_sound_file_is_spoken_and_ends_the_run(tmp_path: Path, photo: Path, home: Path) -> None:
    write_wav(tmp_path / "say.wav", synthesize_vowel_bursts(5))
    recording = tmp_path / "out.mp4"
    command = ["run", "--avatar", str(photo), "--driver", "voice", "--model", "warp", "--size", "320x320"]
    command += ["--render-size", "256", "--microphone", f"file:{tmp_path / 'say.wav'}", "--sink", f"file:{recording}"]
    assert main(command) == 0
    assert abs(measure_file_offset(recording).ms) <= IN_STEP_MS


def test_a_recording_keeps_channels_and_loudness_of_a_sound_file_with_damage_in_it(
    tmp_path: Path, photo: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voice = synthesize_vowel_bursts(2)
    whole = write_sound(tmp_path / "whole.m4a", np.stack([voice, -voice]), RATE, codec="aac", layout="stereo")
    spoken = rewrite_packets(whole, tmp_path / "say.m4a", damaged={3})
    recording = tmp_path / "out.mp4"
    command = ["run", "--avatar", str(photo), "--driver", "voice", "--model", "warp", "--size", "320x320"]
    command += ["--render-size", "128", "--microphone", f"file:{spoken}", "--sink", f"file:{recording}"]
    with caplog.at_level(logging.WARNING):
        assert main(command) == 0
    assert "1 damaged piece of sound skipped" in caplog.text
    film = np.concatenate(list(read_channel_blocks(recording, RATE)), axis=1)
    assert film.shape[0] == 2
    assert np.corrcoef(film)[0, 1] < -0.99
    given = np.concatenate(list(read_channel_blocks(spoken, RATE)), axis=1)
    power = np.square(film).sum() / np.square(given).sum()  # the film also holds the silence before and after
    assert abs(10 * np.log10(power)) < 0.5


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--microphone", "file:"), "file:talk.wav"),
        (("--microphone", "speech:"), "speech:PATH|PORT"),
        (("--microphone", "file:nothing.wav"), "nothing.wav does not exist"),
        (("--microphone", "speech:/nowhere/at/all"), "name a new file"),
        (("--microphone", "speech:99999999"), "choose another port"),
        (("--driver", "idle", "--sound-out", "cable"), "--microphone"),
    ],
)
def test_bad_sound_is_answered_with_one_line(
    photo: Path, arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "run",
        "--avatar",
        str(photo),
        "--driver",
        "voice",
        "--model",
        "warp",
        "--sink",
        "null",
        "--seconds",
        "1",
    ]
    assert main([*command, *arguments]) == EXIT_BAD_INPUT
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in said
    assert said.startswith("livehead run: ")


@needs_pulse
def test_the_offset_of_sound_and_picture_is_measured_at_all_ends(tmp_path: Path, home: Path) -> None:
    figures = tmp_path / "offset.json"
    command = [sys.executable, str(AV_OFFSET_SCRIPT), "--model", "warp", "--render-size", "128"]
    environment = {**os.environ, "LIVEHEAD_HOME": str(home)}
    done = subprocess.run(
        [*command, "--seconds", "8", "--json", str(figures)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(figures.read_text())["results"]
    photon = results["microphone_to_photon"]["warp"]
    assert photon["n"] > 30  # of 240; a busy machine draws fewer
    assert 40 < photon["median"] < 400, "more than the look-ahead"
    assert abs(results["microphone_to_photon_seen_ms"]["warp"] - photon["median"]) < IN_STEP_MS
    assert abs(results["av_offset_ms"]["warp"]["file"]) <= IN_STEP_MS
    assert abs(results["av_offset_ms"]["warp"]["live"]) <= 2 * IN_STEP_MS
