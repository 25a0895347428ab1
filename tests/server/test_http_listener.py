"""The socket: TLS, addresses that are told, and what cannot be listened on."""

import asyncio
import datetime
import ssl
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livehead.errors import ConfigError
from livehead.server.access import AccessPolicy
from livehead.server.app import StudioApp
from livehead.server.http_listener import HttpListener
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
