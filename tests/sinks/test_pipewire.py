"""The PipeWire camera on a real PipeWire server, and before a real Chromium (``scripts/test_pipewire.py``)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from livehead.errors import ConfigError, SinkError
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.pipewire import PipeWireSink, require_pipewire

SCRIPT = Path(__file__).parents[2] / "scripts/test_pipewire.py"
SIZE = (64, 48)

needs_server = pytest.mark.skipif(
    not (shutil.which("pipewire") and shutil.which("pw-cli")), reason="pipewire, pipewire-bin are not installed"
)


def picture(width: int, height: int) -> VideoFrame:
    return VideoFrame(np.full((height, width, 3), 90, np.uint8), 0, Fraction(1, 30), 0)


def children() -> set[int]:
    """Processes of ours, dead but unreaped ones included."""
    stats = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    fields = ((stat.split(" ", 1)[0], stat.rpartition(")")[2].split()) for stat in stats)
    return {int(pid) for pid, rest in fields if int(rest[1]) == os.getpid()}


def wait_for_camera(name: str, *, gone: bool = False) -> str:
    """What the server lists, once ``name`` is listed or no more."""
    deadline = time.monotonic() + 5
    while True:
        command = ["pw-cli", "ls", "Node"]
        nodes = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        if (name in nodes) != gone:
            return nodes
        assert time.monotonic() < deadline, f"{name} is {'still' if gone else 'not'} listed"
        time.sleep(0.05)


async def send_for_ever(sink: PipeWireSink) -> None:
    while True:
        await sink.send(picture(*SIZE))
        await asyncio.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a PipeWire server would be found; there is none yet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("PIPEWIRE_RUNTIME_DIR", "PIPEWIRE_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["pipewire"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 5
        while not (folder / "pipewire-0").exists():
            assert time.monotonic() < deadline, "the PipeWire server did not start"
            time.sleep(0.02)
        try:
            require_pipewire()
        except SinkError as error:
            pytest.skip(str(error))
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_odd_size_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="639x480"):
        PipeWireSink((639, 480))


def test_without_gstreamer_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SinkError, match=r"gst-launch-1\.0 is not installed: .*(install|-S)"):
        require_pipewire()


def test_other_systems_are_sent_to_the_virtual_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SinkError, match="use the sink virtualcam"):
        require_pipewire()


@needs_server
async def test_without_a_server_the_camera_says_how_to_start_one(folder: Path) -> None:
    before = children()
    with pytest.raises(SinkError, match="systemctl --user start pipewire|is not installed"):
        async with PipeWireSink(SIZE):
            pass
    assert children() == before


@needs_server
async def test_the_camera_is_listed_under_its_name_until_it_closes(server: subprocess.Popen[bytes]) -> None:
    before = children()
    async with PipeWireSink(SIZE, name='Ada\'s "Camera", 2') as sink:
        await sink.send(picture(*SIZE))
        nodes = await asyncio.to_thread(wait_for_camera, "Ada")
    assert 'node.description = "Ada\'s "Camera", 2"' in nodes
    assert 'media.class = "Video/Source"' in nodes
    wait_for_camera("Ada", gone=True)
    assert children() == before


@needs_server
async def test_many_frames_pass_while_nobody_looks(server: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(10):
        async with PipeWireSink(SIZE) as sink:
            for _ in range(200):  # far more than pipe and queues hold
                await sink.send(picture(*SIZE))


@needs_server
async def test_sound_is_ignored_and_a_picture_of_another_size_is_refused(server: subprocess.Popen[bytes]) -> None:
    async with PipeWireSink(SIZE) as sink:
        await sink.send(AudioFrame(np.zeros((1, 160), np.float32), 16_000, 0, 0))
        with pytest.raises(SinkError, match="32x32 for a PipeWire camera of 64x48"):
            await sink.send(picture(32, 32))


@needs_server
async def test_when_the_server_ends_the_next_pictures_fail_with_one_line(server: subprocess.Popen[bytes]) -> None:
    before = children() - {server.pid}
    async with PipeWireSink(SIZE) as sink:
        await sink.send(picture(*SIZE))
        server.terminate()
        server.wait()
        with pytest.raises(SinkError, match="the PipeWire camera ended") as caught:
            await asyncio.wait_for(send_for_ever(sink), 10)
    assert "\n" not in str(caught.value)
    assert children() == before


@needs_server
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
def test_a_killed_livehead_leaves_no_camera_behind(server: subprocess.Popen[bytes]) -> None:
    program = """
import asyncio
from livehead.sinks.pipewire import PipeWireSink
async def main():
    async with PipeWireSink((64, 48), name="Orphan"):
        print("open", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as livehead:
        assert livehead.stdout is not None
        try:
            livehead.stdout.readline()
            wait_for_camera("Orphan")
        finally:
            livehead.kill()
    wait_for_camera("Orphan", gone=True)


async def test_frames_arrive_in_a_browser_page_in_sequence(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--seconds", "4", "--json", str(figures)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert figures.exists(), done.stdout + done.stderr
    results = json.loads(figures.read_text())["results"]
    assert results["sizes"] == ["1280x720"]
    assert results["label"].startswith("Livehead Avatar")
    assert results["frames"] > 0
    assert results["unreadable"] == results["disordered"] == results["colours_wrong"] == 0
