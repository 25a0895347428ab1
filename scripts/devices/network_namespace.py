"""A network of a check's own: a namespace with one address that is not loopback, and programs that run in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDRESS = "10.78.0.1"
_START_TIMEOUT_S = 20.0


def enter_network_namespace(marker: str) -> None:
    """Start this program anew in a network namespace; returns there, where the variable ``marker`` is set.

    Needs root and the program ``unshare``.
    """
    if marker not in os.environ:
        os.environ[marker] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def make_network() -> None:
    """Give the network namespace that this process is in one address that is not loopback."""
    for command in (
        "ip link set lo up",
        "ip link add lh0 type veth peer name lh1",
        f"ip addr add {ADDRESS}/24 dev lh0",
        "ip link set lh0 up",
        "ip link set lh1 up",
    ):
        subprocess.run(command.split(), check=True)


@contextmanager
def run_program(command: list[str], folder: Path) -> Iterator[None]:
    """Run ``command`` until the block ends, which is as sudden as a crash; its output is kept in ``folder``."""
    with (folder / f"{Path(command[0]).name}.log").open("ab") as output:
        child = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def wait_for_port(port: int) -> None:
    """Wait until a program listens on ``ADDRESS``. Raises: OSError."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with socket.create_connection((ADDRESS, port), 2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
