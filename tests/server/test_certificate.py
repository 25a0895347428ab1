"""Certificates of one's own: a real handshake trusts them, and only them."""

import asyncio
import ipaddress
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from livehead.commands.serve import make_tls_context
from livehead.config import ServeSettings
from livehead.errors import ConfigError
from livehead.server.access import AccessPolicy
from livehead.server.app import StudioApp
from livehead.server.certificate import VALIDITY_DAYS, make_certificate
from livehead.server.http_listener import HttpListener
from tests.fixtures.studio import TOKEN, sessions

NAMES = ("studio.local", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    make_certificate(NAMES).write_pem_files(folder / "cert.pem", folder / "key.pem", folder / "trust.pem")
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    tls = make_tls_context(ServeSettings(tls_cert=folder / "cert.pem", tls_key=folder / "key.pem"))
    listener = HttpListener(StudioApp(sessions(), AccessPolicy(TOKEN), "").build_app(), "127.0.0.1", 0, tls=tls)
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve()))
    thread.start()
    yield listener.port
    listener.stop()
    thread.join(20)
    assert not thread.is_alive()


async def health(port: int, name: str, trusted: ssl.SSLContext) -> bytes:
    """What the server answers to whom it is called ``name``."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname=name)
        writer.write(f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer


@pytest.mark.parametrize("name", NAMES[:2])
async def test_whoever_trusts_the_root_gets_an_answer_under_each_name(folder: Path, port: int, name: str) -> None:
    answer = await health(port, name, ssl.create_default_context(cafile=str(folder / "trust.pem")))
    assert b"200" in answer.splitlines()[0]


async def test_another_name_another_root_and_no_root_are_refused(folder: Path, port: int, tmp_path: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(folder / "trust.pem"))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        await health(port, "other.local", trusted)
    make_certificate(NAMES).write_pem_files(tmp_path / "c", tmp_path / "k", tmp_path / "t")
    for stranger in (ssl.create_default_context(cafile=str(tmp_path / "t")), ssl.create_default_context()):
        with pytest.raises(ssl.SSLCertVerificationError):
            await health(port, NAMES[0], stranger)


def test_it_is_what_browsers_and_phones_want(folder: Path) -> None:
    own, root = x509.load_pem_x509_certificates((folder / "cert.pem").read_bytes())
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["studio.local"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(each) for each in NAMES[1:]]
    assert (own.not_valid_after_utc - own.not_valid_before_utc).days == VALIDITY_DAYS <= 397
    assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    own.verify_directly_issued_by(root)


def test_the_keys_are_kept_from_others_and_the_root_s_is_not_kept_at_all(folder: Path) -> None:
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["cert.pem", "key.pem", "trust.pem"]
    kept = (folder / "key.pem").read_bytes()
    assert kept.count(b"PRIVATE KEY-----") == 2  # begin and end of one
    assert b"PRIVATE" not in (folder / "cert.pem").read_bytes() + (folder / "trust.pem").read_bytes()


def test_nothing_is_written_over(folder: Path) -> None:
    before = (folder / "key.pem").read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        make_certificate(NAMES).write_pem_files(folder / "cert.pem", folder / "key.pem", folder / "trust.pem")
    assert (folder / "key.pem").read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "-a", "a..b", "https://a.example", "a/b", "x" * 64 + ".example", "*"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="studio.local"):
        make_certificate([name])
    with pytest.raises(ConfigError, match="needs a name"):
        make_certificate([])
