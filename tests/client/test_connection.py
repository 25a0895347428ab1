"""How a client reaches its server: no other server, and no proxy, learns the token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from livehead.client.connection import CONNECTION_ERRORS, ServerAddress, open_socket


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Give the port of a server that sends ``answer`` to everybody, and a list of what it was sent."""
    got: list[bytes] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(65536))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got


async def test_a_socket_follows_no_redirect_to_another_server() -> None:
    async with raw_server(b"") as (other, got_there):
        away = f"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:{other}/signal\r\nContent-Length: 0\r\n\r\n"
        async with raw_server(away.encode()) as (port, got):
            with pytest.raises(CONNECTION_ERRORS):
                async with open_socket(ServerAddress.parse(f"ws://127.0.0.1:{port}")):
                    pass
            assert len(got) == 1
        assert got_there == []


async def test_a_socket_of_this_machine_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello")

    async with raw_server(b"") as (proxy, got_there), serve(greet, "127.0.0.1", 0) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "socks_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        port = next(iter(server.sockets)).getsockname()[1]
        async with open_socket(ServerAddress.parse(f"ws://127.0.0.1:{port}")) as socket:
            assert await socket.recv() == "hello"
        assert got_there == []
