"""Strangers at a server's port, as a program: ``python -m tests.server.attack KIND HOST:PORT COUNT``.

It goes on until its input ends. It is a process of its own, so that what a call loses is the server's doing, and a
cheap one: nothing is parsed, and a connection that the server has ended is opened again after a moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

_TICK_S = 0.25
_OPENINGS_A_TICK = 64  # of connections that the server has ended; the first ones are opened as fast as it goes
_SLOW_BYTES = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 10_000
_UPGRADE = (
    b"GET /signal HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_PING = b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125  # masked by zeros
_WRONG = b"Authorization: Bearer wrong wrong wrong wrong\r\n"
_BAD_REQUESTS = (
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + _WRONG + b"\r\n",
    b"POST /whip/me HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + _WRONG + b"\r\n",
    b"GET /signal HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /signal HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: nonsense\r\n\r\n",
    b"DELETE /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


@dataclass
class AttackCounts:
    """What strangers have done so far."""

    opened: int = 0
    ended: int = 0
    """Connections that the server has ended."""
    answers: int = 0
    sent: int = 0
    """Pieces of what they send: bytes of slow ones, rounds of pings, requests."""


class Stranger(asyncio.Protocol):
    """A connection that says nothing."""

    def __init__(self, counts: AttackCounts, number: int) -> None:
        self.counts, self.number = counts, number
        self.transport: asyncio.Transport | None = None
        self.answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.counts.opened += 1
        self.begin(transport)

    def begin(self, transport: asyncio.Transport) -> None:
        """Send what comes first."""

    def data_received(self, data: bytes) -> None:
        self.counts.answers += not self.answered
        self.answered = True

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.counts.ended += 1

    def tick(self) -> None:
        """Send a little more; called now and then."""


class HalfHandshake(Stranger):
    """A connection that begins a TLS handshake, or does not even begin it."""

    def begin(self, transport: asyncio.Transport) -> None:
        if self.number % 2:
            transport.write(b"\x16\x03\x01\x02\x00\x01")


class SlowSecondRequest(Stranger):
    """A connection whose second request comes byte by byte."""

    position = 0

    def begin(self, transport: asyncio.Transport) -> None:
        transport.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def tick(self) -> None:
        if self.transport is not None and self.answered:
            self.transport.write(_SLOW_BYTES[self.position : self.position + 1])
            self.position += 1
            self.counts.sent += 1


class SlowUpload(Stranger):
    """An upload with a wrong key, which goes on byte by byte after it has been refused."""

    def begin(self, transport: asyncio.Transport) -> None:
        transport.write(b"PUT /photo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n" + _WRONG + b"\r\n")

    def tick(self) -> None:
        if self.transport is not None:
            self.transport.write(b"x")
            self.counts.sent += 1


class UnreadPings(Stranger):
    """A WebSocket that pings and never reads what it gets back."""

    def begin(self, transport: asyncio.Transport) -> None:
        transport.pause_reading()
        transport.write(_UPGRADE)

    def tick(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size() == 0:
            self.transport.write(_PING * 500)
            self.counts.sent += 1


class BadRequest(Stranger):
    """A request that is wrong in one of several ways; the next one comes as soon as the connection has ended."""

    def begin(self, transport: asyncio.Transport) -> None:
        self.counts.sent += 1
        transport.write(_BAD_REQUESTS[self.counts.sent % len(_BAD_REQUESTS)])

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport is not None:
            self.transport.abort()


KINDS: dict[str, Callable[[AttackCounts, int], Stranger]] = {
    "sockets": Stranger,
    "handshakes": HalfHandshake,
    "second-requests": SlowSecondRequest,
    "uploads": SlowUpload,
    "pings": UnreadPings,
    "bad-requests": BadRequest,
}
_BAD_REQUEST_CONNECTIONS = 32


async def attack(kind: str, host: str, port: int, count: int, over: asyncio.Event, counts: AttackCounts) -> None:
    """Keep ``count`` strangers of a kind connected until ``over``; of bad requests, send so many as fast as it goes."""
    loop = asyncio.get_running_loop()
    bounded = kind == "bad-requests"
    strangers: list[Stranger] = []
    begun = False

    async def open_one(number: int) -> Stranger | None:
        try:
            _, stranger = await asyncio.wait_for(
                loop.create_connection(lambda: KINDS[kind](counts, number), host, port), 5.0
            )
        except OSError:
            return None
        return stranger

    while not over.is_set():
        strangers = [each for each in strangers if each.transport is not None]
        wanted = _BAD_REQUEST_CONNECTIONS if bounded else count
        missing = max(0, min(wanted - len(strangers), count - counts.sent if bounded else count))
        missing = missing if not begun or bounded else min(missing, _OPENINGS_A_TICK)
        for first in range(0, missing, 32):
            opened = await asyncio.gather(*(open_one(first + each) for each in range(min(32, missing - first))))
            strangers += [each for each in opened if each is not None]
        for stranger in strangers:
            stranger.tick()
        if not begun:
            begun = True
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        await asyncio.sleep(0.01 if bounded and missing else _TICK_S)


async def main(kind: str, address: str, count: int) -> AttackCounts:
    host, port = address.rsplit(":", 1)
    over, counts = asyncio.Event(), AttackCounts()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, over.set)  # it ends
    await attack(kind, host, int(port), count, over, counts)
    return counts


if __name__ == "__main__":
    import resource

    os.nice(5)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65_536, hard))
    sys.stdout.write(json.dumps(asdict(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))))
