"""A running call goes on whatever strangers do to the server's door."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_now

from livehead.server.access import Access
from tests.server.conftest import TOKEN, Client, Colours, serving

SECONDS = 3.0


@contextmanager
def beaten(address: str) -> Iterator[list[int]]:
    """200 idle sockets, 20 that send a request byte by byte, and wrong tokens as fast as one client sends them."""
    host, port = address.split(":")
    over, tried = threading.Event(), [0]

    def guess() -> None:
        while not over.is_set():
            with connect_now(f"ws://{address}/signal") as page:
                page.send('{"type":"hello","role":"studio","token":"wrong wrong wrong wrong"}')
                page.recv(timeout=10)
            tried[0] += 1

    def drip(slow: list[socket.socket]) -> None:
        while not over.wait(0.1):
            for each in slow:
                each.sendall(b"X")

    sockets = [socket.create_connection((host, int(port))) for _ in range(220)]
    threads = [threading.Thread(target=guess), threading.Thread(target=drip, args=(sockets[:20],))]
    for thread in threads:
        thread.start()
    try:
        yield tried
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for each in sockets:
            each.close()


async def test_a_call_loses_no_second_of_picture() -> None:
    with serving(Access(TOKEN)) as address:
        client = Client(Colours())
        async with connect(f"ws://{address}/signal") as page:
            await page.send(json.dumps({"type": "hello", "role": "studio", "token": TOKEN}))
            await page.recv()
            await page.send(json.dumps({"type": "offer", "sdp": await client.offer()}))
            while (message := json.loads(await page.recv()))["type"] != "answer":
                pass
            await client.take(message["sdp"])
            await client.pictures(10)
            with beaten(address) as tried:
                arrivals = [time.monotonic()]
                while arrivals[-1] - arrivals[0] < SECONDS:
                    await client.pictures(1)
                    arrivals.append(time.monotonic())
            gaps = [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)]
            assert max(gaps) < 1.0
            assert tried[0] > 20
        await client.close()
