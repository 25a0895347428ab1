"""What strangers cost a real ``livehead serve`` with a real call running, at ``ulimit -n 1024``."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from livehead.server.certificate import make_certificate
from tests.fixtures.studio import Client, Colours

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-twenty-four-c"
FILE_LIMIT = 1024
_START_TIMEOUT_S = 120.0
_SAMPLE_S = 0.1
_LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
    "os.execv(sys.executable, [sys.executable, '-m', 'livehead', 'serve', *sys.argv[1:]])"
)


@dataclass(frozen=True, slots=True)
class AbuseCase:
    """A kind of strangers (``tests.server.attack``), and how many of them there are."""

    kind: str
    count: int

    @property
    def tls(self) -> bool:
        """Tells whether the server does TLS."""
        return self.kind == "handshakes"


CASES = (
    AbuseCase("sockets", 1100),
    AbuseCase("handshakes", 1100),
    AbuseCase("second-requests", 255),
    AbuseCase("pings", 112),
    AbuseCase("bad-requests", 2000),
    AbuseCase("uploads", 255),
)


@dataclass
class AbuseCosts:
    """What one case has cost."""

    memory_mb: float
    """How much the server's memory (of its own) grew at most."""
    files: int
    """How many files more it had open at most."""
    log_lines: int
    quiet_gap_ms: float
    """The longest time between two pictures of the call before the strangers came."""
    gap_ms: float
    """The longest time between two pictures of the call while they were there."""
    let_in_ms: list[float]
    """How long it took each time until the right token, or a viewer's key, was let in."""
    strangers: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


class LimitedServer:
    """A ``livehead serve`` in a process of its own, which may open ``FILE_LIMIT`` files and no more."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str], trust: ssl.SSLContext | None) -> None:
        self.process = process
        self.lines = lines
        self.trust = trust
        """What a client of it trusts; None without TLS."""
        self.address = urlsplit(lines[-1].split()[1]).netloc.replace("localhost", "127.0.0.1")

    def memory_mb(self) -> float:
        """The memory that the process has of its own, without pages of files."""
        _, resident, shared, *_ = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def file_count(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connection(self) -> http.client.HTTPConnection:
        """An HTTP client of it."""
        if self.trust is not None:
            return http.client.HTTPSConnection(self.address, timeout=30, context=self.trust)
        return http.client.HTTPConnection(self.address, timeout=30)

    def socket(self) -> connect:
        """A WebSocket client of it."""
        if self.trust is not None:
            return connect(f"wss://{self.address}/signal", ssl=self.trust, open_timeout=30)
        return connect(f"ws://{self.address}/signal", open_timeout=30)


@contextmanager
def limited_server(*, tls: bool = False) -> Iterator[LimitedServer]:
    """Run a server whose avatar is the camera's own picture."""
    arguments = ["--port", "0", "--model", "passthrough", "--time-code", "--size", "128x96", "--token", TOKEN]
    with tempfile.TemporaryDirectory() as folder:
        trust = None
        if tls:
            chain, key, root = (Path(folder, name) for name in ("chain.pem", "key.pem", "root.pem"))
            make_certificate(["localhost", "127.0.0.1"]).write_pem_files(chain, key, root)
            arguments += ["--tls-cert", str(chain), "--tls-key", str(key)]
            trust = ssl.create_default_context(cafile=str(root))
        program = _LIMITED.format(limit=FILE_LIMIT)
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        lines: list[str] = []
        opened = threading.Event()
        reader = threading.Thread(target=_read_lines, args=(process, lines, opened), daemon=True)
        reader.start()
        try:
            assert opened.wait(_START_TIMEOUT_S), lines
            assert lines[-1].startswith("open "), lines
            yield LimitedServer(process, lines, trust)
        finally:
            process.terminate()
            process.wait(30)
            reader.join()
            assert process.stderr is not None
            process.stderr.close()


def _read_lines(process: subprocess.Popen[str], lines: list[str], opened: threading.Event) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if line.startswith("open "):
            opened.set()
    opened.set()


@contextmanager
def strangers(case: AbuseCase, address: str) -> Iterator[dict[str, int]]:
    """What strangers did is in the dictionary when they have left."""
    did: dict[str, int] = {}
    command = [sys.executable, "-m", "tests.server.attack", case.kind, address, str(case.count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield did
    finally:
        output, _ = process.communicate(timeout=60)
        did.update(json.loads(output.removeprefix("begun\n")))


@asynccontextmanager
async def running_call(server: LimitedServer) -> AsyncIterator[tuple[list[float], str]]:
    """A call: the moments in which its pictures arrive, and the key with which one can watch it."""
    client = Client(Colours())
    arrivals: list[float] = []

    async def watch() -> None:
        while True:
            await client.pictures(1, timeout_s=60.0)
            arrivals.append(time.monotonic())

    async with server.socket() as page:
        await page.send(json.dumps({"type": "hello", "role": "studio", "token": TOKEN}))
        viewer_key = json.loads(await page.recv())["viewer_key"]
        await page.send(json.dumps({"type": "offer", "sdp": await client.offer()}))
        while (message := json.loads(await page.recv()))["type"] != "answer":
            pass
        await client.take(message["sdp"])
        await client.pictures(10)
        tasks = [asyncio.create_task(watch()), asyncio.create_task(_drain(page))]
        try:
            yield arrivals, viewer_key
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    await client.close()


async def _drain(page: ClientConnection) -> None:
    async for _ in page:
        pass


async def measure_abuse(case: AbuseCase, seconds: float, quiet_s: float = 5.0) -> AbuseCosts:
    """Let strangers do what they do for ``seconds`` beside a call, and tell what it cost."""
    with limited_server(tls=case.tls) as server:
        async with running_call(server) as (arrivals, viewer_key):
            await asyncio.sleep(quiet_s)
            quiet = _longest_gap_ms(arrivals, arrivals[0], time.monotonic())
            memory_mb, files, line_count = server.memory_mb(), server.file_count(), len(server.lines)
            costs = AbuseCosts(0.0, 0, 0, quiet, 0.0, [])
            begin = time.monotonic()
            with strangers(case, server.address) as did:
                checks = asyncio.create_task(_check_lets_in(server, viewer_key, costs.let_in_ms))
                while time.monotonic() < begin + seconds:
                    costs.memory_mb = max(costs.memory_mb, server.memory_mb() - memory_mb)
                    costs.files = max(costs.files, server.file_count() - files)
                    await asyncio.sleep(_SAMPLE_S)
                end = time.monotonic()
                await asyncio.wait_for(checks, 60)
            costs.gap_ms = _longest_gap_ms(arrivals, begin, end)
            costs.log = server.lines[line_count:]
            costs.log_lines = len(costs.log)
            costs.strangers = did
    return costs


async def _check_lets_in(server: LimitedServer, viewer_key: str, let_in_ms: list[float], count: int = 6) -> None:
    """Show the right token and a viewer's key several times, each on a connection of its own."""
    await asyncio.sleep(1.0)  # after the strangers have come
    for _ in range(count):
        begin = time.monotonic()
        assert await asyncio.to_thread(_ask_for_metrics, server) == 200
        let_in_ms.append((time.monotonic() - begin) * 1000)
        begin = time.monotonic()
        async with server.socket() as page:
            await page.send(json.dumps({"type": "hello", "role": "viewer", "key": viewer_key}))
            assert json.loads(await page.recv())["type"] == "welcome"
            let_in_ms.append((time.monotonic() - begin) * 1000)
        await asyncio.sleep(0.5)


def _ask_for_metrics(server: LimitedServer) -> int:
    connection = server.connection()
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status
    finally:
        connection.close()


def _longest_gap_ms(arrivals: list[float], begin: float, end: float) -> float:
    """The longest time between ``begin`` and ``end`` in which no picture arrived."""
    moments = [begin, *(each for each in arrivals if begin < each < end), end]
    return max(after - before for before, after in zip(moments, moments[1:], strict=False)) * 1000
