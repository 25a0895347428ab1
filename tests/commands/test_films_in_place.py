"""Real commands are killed, interrupted or run out of disk: the earlier film stays, and what was made can be played."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from livehead.protocol.motion_file import load_motion

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

EARLIER = b"an earlier film"
PATIENCE_S = 90.0


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A minute of noise: its film takes longer to make than a test has patience."""
    path = tmp_path / "speech.wav"
    samples = np.random.default_rng(0).normal(0, 2000, 60 * 16_000).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def start(*arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    """Start a command; no file that it writes may grow beyond ``limit`` bytes."""

    def limit_files() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "livehead", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit_files)


def animate(speech: Path, out: Path, **options: int) -> subprocess.Popen[str]:
    picture = ("--model", "warp", "--fit", "crop", "--size", "160x160", "--render-size", 160)
    return start("animate", "--avatar", DRAWN_PORTRAIT, "--audio", speech, "--out", out, *picture, **options)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    begin = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() - begin < PATIENCE_S
        time.sleep(0.05)


def has_grown(path: Path, size: int = 60_000) -> Callable[[], bool]:
    return lambda: path.exists() and path.stat().st_size > size


def played_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_killed_animation_leaves_the_earlier_film_and_a_part_that_plays(tmp_path: Path, speech: Path) -> None:
    out, part = tmp_path / "film.mp4", tmp_path / "film.unfinished.mp4"
    out.write_bytes(EARLIER)
    process = animate(speech, out)
    wait_for(has_grown(part), process)
    process.kill()
    process.communicate()
    assert out.read_bytes() == EARLIER
    assert played_frames(part) >= 30


def test_an_interrupted_animation_leaves_the_earlier_film_and_says_where_its_part_is(
    tmp_path: Path, speech: Path
) -> None:
    out, part = tmp_path / "film.mp4", tmp_path / "film.unfinished.mp4"
    out.write_bytes(EARLIER)
    process = animate(speech, out)
    wait_for(has_grown(part), process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == EXIT_INTERRUPTED
    assert out.read_bytes() == EARLIER
    assert played_frames(part) >= 30
    assert str(part) in said


def test_an_interrupted_animation_is_kept_under_its_name_where_that_is_free(tmp_path: Path, speech: Path) -> None:
    out, part = tmp_path / "film.mp4", tmp_path / "film.unfinished.mp4"
    process = animate(speech, out)
    wait_for(has_grown(part), process)
    assert not out.exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == EXIT_INTERRUPTED
    assert played_frames(out) >= 30
    assert sorted(path.name for path in tmp_path.glob("film*")) == ["film.mp4"]


def test_a_full_disk_leaves_the_earlier_film_and_ends_with_status_1(tmp_path: Path, speech: Path) -> None:
    out, part = tmp_path / "film.mp4", tmp_path / "film.unfinished.mp4"
    out.write_bytes(EARLIER)
    process = animate(speech, out, limit=100_000)
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 1
    assert "free some space or choose another folder" in said.strip().splitlines()[-1]
    assert out.read_bytes() == EARLIER
    assert played_frames(part) >= 10


def test_a_film_that_cannot_begin_leaves_the_earlier_one_and_nothing_else(tmp_path: Path, talk: Path) -> None:
    out = tmp_path / "film.mp4"
    out.write_bytes(EARLIER)
    empty = tmp_path / "empty.mp4"
    with av.open(str(empty), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((128, 128, 3), 90, np.uint8))))
        container.mux(stream.encode(None))
    process = start("animate", "--avatar", DRAWN_PORTRAIT, "--driving", empty, "--model", "warp", "--out", out)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_BAD_INPUT
    assert out.read_bytes() == EARLIER
    assert sorted(path.name for path in tmp_path.glob("*film*")) == ["film.mp4"]


def run(*arguments: object) -> subprocess.Popen[str]:
    picture = ("--model", "warp", "--size", "160x160", "--render-size", 160, "--fps", 30)
    return start("run", "--avatar", DRAWN_PORTRAIT, "--driver", "idle", *picture, *arguments)


def wait_for_line(word: str, process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"the command ended without {word!r}")


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov"])
def test_a_killed_live_run_leaves_a_film_that_plays_and_its_motion(tmp_path: Path, suffix: str) -> None:
    film, motion = tmp_path / f"live{suffix}", tmp_path / "face.npz"
    process = run("--sink", f"file:{film}", "--record-motion", motion)
    wait_for_line("first frame", process)
    begin = time.monotonic()
    time.sleep(5)
    process.kill()
    lasted_s = time.monotonic() - begin
    process.communicate()
    assert played_frames(film) >= 30
    recorded = load_motion(motion)
    assert recorded[-1].captured_ns / 1e9 >= lasted_s - 1.5


def test_a_killed_live_run_that_may_replace_a_film_leaves_that_film(tmp_path: Path) -> None:
    film, part = tmp_path / "live.mp4", tmp_path / "live.unfinished.mp4"
    film.write_bytes(EARLIER)
    process = run("--sink", f"file:{film}", "--overwrite")
    wait_for(has_grown(part, 20_000), process)
    process.kill()
    process.communicate()
    assert film.read_bytes() == EARLIER
    assert played_frames(part) >= 10


def test_a_live_run_with_leave_replaces_a_film_at_its_end(tmp_path: Path) -> None:
    film = tmp_path / "live.mp4"
    film.write_bytes(EARLIER)
    process = run("--sink", f"file:{film}", "--overwrite", "--seconds", 2)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert played_frames(film) >= 10
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["live.mp4"]


def test_a_recording_that_is_lost_beside_a_healthy_sink_makes_the_exit_status_1(tmp_path: Path) -> None:
    film, figures = tmp_path / "live.mp4", tmp_path / "figures.json"
    film.symlink_to("/dev/full")
    process = run("--sink", f"file:{film}", "--sink", "null", "--seconds", 3, "--json", figures)
    said = process.communicate(timeout=PATIENCE_S)[1].strip().splitlines()
    assert process.returncode == 1
    assert said[-1].startswith(f"livehead run: cannot write {film} (No space left on device): free some space")
    assert any("frames sent" in line for line in said)
    assert figures.exists()


def test_motion_that_cannot_be_recorded_ends_no_run_and_makes_the_exit_status_1(tmp_path: Path) -> None:
    motion = tmp_path / "face.npz"
    motion.symlink_to("/dev/full")
    process = run("--sink", "null", "--record-motion", motion, "--seconds", 4)
    said = process.communicate(timeout=PATIENCE_S)[1].strip().splitlines()
    assert process.returncode == 1
    assert f"livehead run: cannot write {motion}" in said[-1]
    sent = next(line for line in said if "frames sent" in line)
    assert int(sent.split()[0]) > 60
