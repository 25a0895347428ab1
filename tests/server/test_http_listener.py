"""The socket: TLS, addresses that are told, and what cannot be listened on."""

import asyncio
import datetime
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livehead.errors import ConfigError
from livehead.server.access import AccessPolicy
from livehead.server.app import StudioApp
from livehead.server.connection_acceptor import ConnectionAcceptor
from livehead.server.connection_table import ConnectionLimits, ConnectionTimeouts
from livehead.server.http_listener import HttpListener
from livehead.server.listening_socket import open_listening_socket
from tests.fixtures.studio import TOKEN, sessions


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return paths


def test_with_a_certificate_the_page_comes_by_https(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    studio = StudioApp(sessions(), AccessPolicy(TOKEN), "")
    listener = HttpListener(studio.build_app(), "127.0.0.1", 0, tls=context)
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve()))
    thread.start()
    try:
        trusting = ssl.create_default_context(cafile=str(cert))
        with urlopen(f"https://localhost:{listener.port}/health", timeout=20, context=trusting) as answer:
            assert answer.status == 200
    finally:
        listener.stop()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host.invalid"])
def test_an_address_of_another_machine_is_refused_with_a_remedy(host: str) -> None:
    with pytest.raises(ConfigError, match="--host"):
        HttpListener(StudioApp(sessions(), AccessPolicy(), "").build_app(), host, 0)


def test_a_port_that_a_program_listens_on_is_not_shared() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="--port"):
            open_listening_socket("127.0.0.1", taken.getsockname()[1])


def test_nobody_takes_the_port_of_a_server_over() -> None:
    with open_listening_socket("127.0.0.1", 0) as own, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError):
            other.bind(own.getsockname())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_server_may_open_as_many_files_as_the_system_allows() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); "
        "from livehead.server.file_limit import raise_file_limit; "
        "print(raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    for hard in (256, 1000):
        run = subprocess.run([sys.executable, "-c", program.format(hard=hard)], capture_output=True, text=True)
        assert run.stdout.split() == [str(hard), str(hard)], run.stderr


def test_a_client_that_begins_no_handshake_is_ended(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    app = StudioApp(sessions(), AccessPolicy(TOKEN), "").build_app()
    listener = HttpListener(app, "127.0.0.1", 0, tls=context, timeouts=ConnectionTimeouts(handshake_s=0.3))
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve()))
    thread.start()
    try:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as silent:
                silent.sendall(said)
                assert silent.recv(100) == b""
    finally:
        listener.stop()
        thread.join(20)
    assert not thread.is_alive()


class EchoProtocol(asyncio.Protocol):
    """Sends back what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def test_a_handshake_that_is_ended_at_any_moment_fails_nobody_else(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    listening = open_listening_socket("127.0.0.1", 0)
    address = listening.getsockname()
    acceptor = ConnectionAcceptor(listening, ConnectionLimits(), ConnectionTimeouts(), context)
    acceptor.start(lambda connection: EchoProtocol())

    async def open_connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(5):
            return await asyncio.open_connection(*address, ssl=trusting, server_hostname="localhost")

    for steps in range(40):
        stranger = asyncio.create_task(open_connection())
        for _ in range(steps):
            await asyncio.sleep(0)
        acceptor.abort_all()
        with suppress(OSError):
            _, writer = await stranger
            writer.transport.abort()
        reader, writer = await open_connection()
        writer.write(b"x")
        async with asyncio.timeout(5):
            assert await reader.read(1) == b"x", f"after {steps} steps"
        writer.transport.abort()
    await acceptor.stop()
