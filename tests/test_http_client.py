"""Requests of livehead's own clients: a deadline for the whole, no proxy for this machine, no redirect."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from livehead.http_client import is_loopback_host, may_use_proxy, send_http_request
from livehead.server.certificate import make_certificate

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Kind: plain\r\n\r\nbody"


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a server that treats every connection by ``answer``, and a list of what it was sent."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                got.append(connection.recv(65536))
                answer(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=listening.accept()[:1], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", got


def drip_after(start: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            time.sleep(0.05)
            connection.sendall(b"a")

    return answer


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What was sent to the proxy that the environment names."""
    with server(lambda connection: connection.sendall(WELL)) as (url, got):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield got


async def test_an_answer_is_read_with_its_headers() -> None:
    with server(lambda connection: connection.sendall(WELL)) as (url, got):
        answer = await send_http_request("PUT", f"{url}/x", deadline_s=5, headers={"A": "b"}, content=b"sent")
    assert (answer.status, answer.headers["x-kind"], answer.body) == (200, "plain", b"body")
    assert got[0].startswith(b"PUT /x HTTP/1.1\r\n")
    assert b"A: b\r\n" in got[0]


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
async def test_a_server_that_drips_is_given_up_at_the_deadline(start: bytes) -> None:
    with server(drip_after(start)) as (url, _):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await send_http_request("GET", url, deadline_s=0.4)
        assert time.monotonic() - began < 1.5


async def test_a_request_that_is_cancelled_ends_at_once() -> None:
    with server(drip_after(b"")) as (url, got):
        request = asyncio.create_task(send_http_request("GET", url, deadline_s=60))
        async with asyncio.timeout(5):
            while not got:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        began = time.monotonic()
        request.cancel()
        await asyncio.wait([request])
        assert time.monotonic() - began < 0.5


async def test_no_more_of_a_body_is_read_than_wanted() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with server(flood) as (url, _):
        answer = await send_http_request("GET", url, deadline_s=5, max_bytes=1000)
    assert answer.body == bytes(1000)


async def test_a_redirect_is_answered_to_the_caller_and_not_followed() -> None:
    with server(lambda connection: connection.sendall(WELL)) as (other, got_there):
        away = f"HTTP/1.1 302 Found\r\nLocation: {other}/\r\nContent-Length: 0\r\n\r\n".encode()
        with server(lambda connection: connection.sendall(away)) as (url, _):
            answer = await send_http_request("GET", url, deadline_s=5)
    assert (answer.status, answer.headers["location"]) == (302, f"{other}/")
    assert got_there == []


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "hTTps"])
async def test_a_certificate_is_verified_however_the_scheme_is_written(scheme: str, tmp_path: Path) -> None:
    chain, key, root = (tmp_path / name for name in ("chain.pem", "key.pem", "root.pem"))
    make_certificate(["127.0.0.1"]).write_pem_files(chain, key, root)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)

    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as wrapped:
            read.append(wrapped.recv(65536))

    read: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                answer(listening.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(ssl.SSLCertVerificationError):
            await send_http_request("POST", url, deadline_s=5, headers={"Authorization": "Bearer secret"})
    assert read == []


async def test_nothing_for_this_machine_goes_to_a_proxy(proxy: list[bytes]) -> None:
    with server(lambda connection: connection.sendall(WELL)) as (url, got):
        answer = await send_http_request("GET", url, deadline_s=5, headers={"Authorization": "Bearer secret"})
    assert answer.body == b"body"
    assert len(got) == 1
    assert proxy == []


async def test_no_token_goes_to_a_proxy_in_the_clear(proxy: list[bytes]) -> None:
    with pytest.raises(OSError):  # there is no such host
        await send_http_request("GET", "http://host.invalid/", deadline_s=5, headers={"authorization": "Bearer secret"})
    assert proxy == []


async def test_what_is_no_secret_goes_by_the_proxy(proxy: list[bytes]) -> None:
    await send_http_request("GET", "http://host.invalid/", deadline_s=5)
    assert proxy[0].startswith(b"GET http://host.invalid/ HTTP/1.1")


async def test_a_token_by_https_goes_through_the_proxy_encrypted(proxy: list[bytes]) -> None:
    with pytest.raises(OSError):  # the proxy speaks no TLS
        await send_http_request(
            "GET", "https://host.invalid/", deadline_s=5, headers={"authorization": "Bearer secret"}
        )
    assert proxy[0].startswith(b"CONNECT host.invalid:443")
    assert b"secret" not in b"".join(proxy)


async def test_what_failed_is_told_by_the_system_s_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await send_http_request("GET", f"http://127.0.0.1:{port}/", deadline_s=5)
    with pytest.raises(socket.gaierror):
        await send_http_request("GET", "http://host.invalid/", deadline_s=5, headers={"Authorization": "x"})
    with server(lambda connection: connection.sendall(WELL)) as (url, _), pytest.raises(ssl.SSLError):
        await send_http_request("GET", url.replace("http:", "https:"), deadline_s=5)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["", "example.org", "192.168.1.5", "localhost.example.org", "0.0.0.0"])
def test_names_of_other_machines(host: str) -> None:
    assert not is_loopback_host(host)


def test_sockets_follow_the_same_rule() -> None:
    assert not may_use_proxy("ws://127.0.0.1:8000/signal", secret=True)
    assert not may_use_proxy("ws://studio.example/signal", secret=True)
    assert may_use_proxy("wss://studio.example/signal", secret=True)
