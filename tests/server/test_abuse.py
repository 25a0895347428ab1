"""A running call goes on whatever strangers do to the server's door; the server is a process of its own.

As a program (``scripts/abuse.py``) it tells the figures of a longer attack.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from livehead.bench.webrtc import run_server
from tests.fixtures.studio import Client, Colours

TOKEN = "a-token-of-twenty-four-c"
SECONDS = 3.0
ROOT = Path(__file__).parents[2]
SERVER = ("--model", "passthrough", "--time-code", "--size", "128x96", "--token", TOKEN)


@contextmanager
def attacked(address: str) -> Iterator[dict[str, int]]:
    """What strangers did is in the dictionary when they have left."""
    told: dict[str, int] = {}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.server.attack", address]
    strangers = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    assert strangers.stdout is not None
    try:
        assert strangers.stdout.readline() == "begun\n"
        yield told
    finally:
        output, _ = strangers.communicate(timeout=30)
        told.update(json.loads(output))


async def gaps_in_a_call(address: str, seconds: float, *, beaten: bool) -> tuple[list[float], dict[str, int]]:
    """Seconds between the pictures of a call, and what strangers did meanwhile."""
    client = Client(Colours())
    async with connect(f"ws://{address}/signal") as page:
        await page.send(json.dumps({"type": "hello", "role": "studio", "token": TOKEN}))
        await page.recv()
        await page.send(json.dumps({"type": "offer", "sdp": await client.offer()}))
        while (message := json.loads(await page.recv()))["type"] != "answer":
            pass
        await client.take(message["sdp"])
        await client.pictures(10)
        arrivals = [time.monotonic()]
        told = {"tried": 0, "refused": 0}
        if beaten:
            with attacked(address) as told:
                arrivals[:] = [time.monotonic()]
                await watch(client, arrivals, seconds)
        else:
            await watch(client, arrivals, seconds)
    await client.close()
    return [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)], told


async def watch(client: Client, arrivals: list[float], seconds: float) -> None:
    until = time.monotonic() + seconds
    while arrivals[-1] < until:
        await client.pictures(1)
        arrivals.append(time.monotonic())


def place(url: str) -> str:
    """``host:port`` of a server's address."""
    return urlsplit(url).netloc.replace("localhost", "127.0.0.1")


async def test_a_call_loses_no_second_of_picture() -> None:
    with run_server(*SERVER) as server:
        gaps, told = await gaps_in_a_call(place(server.url), SECONDS, beaten=True)
    assert max(gaps) < 1.0
    assert told["refused"] == told["tried"] > 50
