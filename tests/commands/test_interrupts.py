"""Ctrl-C and SIGTERM end every command within five seconds, and a second one at once, whatever the other side does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT

LIMIT_S = 5.0
AT_ONCE_S = 1.0
SLOW_START_S = 60.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")


def hang(connection: socket.socket) -> None:
    """Take everything and answer nothing."""
    while connection.recv(65536):
        pass


def drip(connection: socket.socket) -> None:
    """Answer a byte at a time, without end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 201 Created\r\nX: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.2)


def drip_body(connection: socket.socket) -> None:
    """Answer with a body that never ends."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nContent-Length: 100000\r\n\r\nv=0")
    while True:
        connection.sendall(b"a")
        time.sleep(0.2)


@contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, threading.Event]]:
    """Give the port of a server that treats every connection by ``answer``, and an event that is set by the first."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    answer(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                asked.set()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], asked


@contextmanager
def command(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"http_proxy": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "livehead", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def seconds_to_end(process: subprocess.Popen[str], number: int) -> float:
    started = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=30)
    return time.monotonic() - started


RUN = ("run", "--avatar", DRAWN_PORTRAIT, "--driver", "idle", "--model", "warp")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("answer", [hang, drip, drip_body])
def test_a_run_ends_while_a_whip_endpoint_does_not_answer(
    answer: Callable[[socket.socket], None], number: int, home: Path
) -> None:
    with peer(answer) as (port, asked), command(*RUN, "--sink", f"whip:http://127.0.0.1:{port}/x") as process:
        assert asked.wait(SLOW_START_S)
        assert seconds_to_end(process, number) < LIMIT_S


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_run_ends_while_the_machine_that_draws_does_not_answer(
    answer: Callable[[socket.socket], None], home: Path
) -> None:
    with (
        peer(answer) as (port, asked),
        command(*RUN, "--sink", "null", "--render-at", f"ws://127.0.0.1:{port}") as process,
    ):
        assert asked.wait(SLOW_START_S)
        assert seconds_to_end(process, signal.SIGINT) < LIMIT_S


def test_a_run_ends_while_the_performer_elsewhere_does_not_answer(home: Path) -> None:
    with peer(hang) as (port, asked):
        link = f"motion:http://127.0.0.1:{port}/watch#key=secret-secret-secret"
        with command("run", "--avatar", DRAWN_PORTRAIT, "--driver", link, "--sink", "null") as process:
            assert asked.wait(SLOW_START_S)
            assert seconds_to_end(process, signal.SIGINT) < LIMIT_S


@pytest.mark.parametrize("spec", ["rtmp://127.0.0.1:{port}/live/x"])
def test_a_run_ends_while_a_broadcaster_does_not_answer(spec: str, home: Path) -> None:
    with peer(hang) as (port, asked), command(*RUN, "--sink", spec.format(port=port)) as process:
        assert asked.wait(SLOW_START_S)
        assert seconds_to_end(process, signal.SIGTERM) < LIMIT_S


@pytest.mark.parametrize("name", ["run", "animate", "serve", "doctor"])
def test_a_command_that_is_still_starting_ends_without_a_traceback(name: str, tmp_path: Path, home: Path) -> None:
    """A module that the command imports waits for the signal, as a slow disk would make it."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(module=f"livehead.commands.{name}"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "livehead", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        assert seconds_to_end(process, signal.SIGINT) < LIMIT_S
        assert process.returncode == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_second_signal_ends_a_server_at_once(home: Path) -> None:
    with command("serve", "--port", "0", "--model", "warp") as process:
        assert process.stdout is not None
        while "open http" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
        assert process.poll() is not None or seconds_to_end(process, signal.SIGINT) < AT_ONCE_S


SLOW_IMPORT = """
import sys, time
class SlowFinder:
    def find_spec(name, path=None, target=None):
        if name == "{module}":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, SlowFinder)
"""

STUCK = """
import sys, time, threading
from livehead.signals import finish_file, handle_interrupts, stop_on_signals
import asyncio, hashlib
async def wait():
    stop_on_signals(lambda: None)
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8) if "library" in sys.argv else await asyncio.sleep(60)
with handle_interrupts(1.0):
    if "file" in sys.argv:
        with finish_file():
            asyncio.run(asyncio.wait_for(wait(), 3))
    else:
        asyncio.run(wait())
"""


@contextmanager
def stuck(how: str) -> Iterator[subprocess.Popen[str]]:
    """A program that heeds no signal, or whose main thread is inside a library and cannot."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_what_heeds_no_signal_is_ended_by_force_with_a_line() -> None:
    with stuck("loop") as process:
        assert seconds_to_end(process, signal.SIGINT) < 3
        assert process.returncode == 128 + signal.SIGINT
        assert process.stderr is not None
        assert "ended by force" in process.stderr.read()


@pytest.mark.parametrize("how", ["loop", "library", "file"])
def test_a_second_signal_ends_at_once_whatever_the_program_does(how: str) -> None:
    with stuck(how) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert seconds_to_end(process, signal.SIGTERM) < AT_ONCE_S
        assert process.returncode == 128 + signal.SIGTERM


def test_a_file_that_is_being_finished_puts_the_end_by_force_off() -> None:
    with stuck("file") as process:
        assert seconds_to_end(process, signal.SIGINT) > 1.5


def test_a_signal_sent_by_two_programs_counts_once() -> None:
    with stuck("loop") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
