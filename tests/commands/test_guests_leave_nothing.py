"""Nothing of a guest outlives the server, however it ends: photos are in memory, the folder of recordings is swept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from websockets.sync.client import connect

from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO
from livehead.server.runtime_folder import PREFIX

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


@contextmanager
def serving(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Give a real ``livehead serve`` whose temporary files go below ``temporary``, and its port."""
    command = [sys.executable, "-m", "livehead", "serve", "--port", "0", "--model", "warp", "--render-size", "128"]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    )
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if line.startswith("open "):
                break
        else:
            raise AssertionError("the server did not start")
        yield server, int(line.split()[1].rstrip("/").rpartition(":")[2])
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def be_a_guest(port: int, temporary: Path) -> None:
    """Open a session, bring a photo and record, as a page does, until the recording is on the disk."""
    with connect(f"ws://127.0.0.1:{port}/signal") as socket:
        socket.send(json.dumps({"type": "hello", "role": "studio"}))
        welcome = json.loads(socket.recv(timeout=10))
        upload = Request(
            f"http://127.0.0.1:{port}/photo",
            ASTRONAUT_PHOTO.read_bytes(),
            {"Authorization": f"Bearer {welcome['key']}"},
            method="PUT",
        )
        urlopen(upload, timeout=60).close()
        socket.send(json.dumps({"type": "record", "on": True}))
        deadline_s = time.monotonic() + 20
        while not list(temporary.rglob("*.mp4")):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def test_what_a_killed_server_leaves_goes_when_the_next_one_starts(home: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(temporary) as (server, port):
        before = set((home / "avatars").rglob("*"))
        be_a_guest(port, temporary)
        assert set((home / "avatars").rglob("*")) == before
        assert not list(temporary.rglob("*.npz"))
        [left] = temporary.iterdir()
        assert left.name.startswith(PREFIX)
        assert left.stat().st_mode & 0o077 == 0
        server.send_signal(signal.SIGKILL)
        server.wait()
        assert list(left.rglob("*.mp4"))
    with serving(temporary) as (server, _):
        assert not left.exists()
        [own] = temporary.iterdir()
        with serving(temporary):
            assert len(list(temporary.iterdir())) == 2, "a server that runs keeps its folder"
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    assert not own.exists()
