"""Whoever serves is told addresses that reach the server, and not those that reach nothing."""

import asyncio
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from livehead.errors import ConfigError
from livehead.server.access import AccessPolicy
from livehead.server.app import StudioApp
from livehead.server.certificate import make_certificate
from livehead.server.http_listener import HttpListener
from livehead.server.reachable_urls import (
    certificate_hosts,
    describe_urls,
    format_url,
    list_machine_addresses,
    reachable_hosts,
)
from tests.fixtures.studio import TOKEN, sessions

NEEDS_NETWORK = pytest.mark.skipif(not list_machine_addresses(), reason="this machine has no network")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For a name, for an address of this machine, and for one that it has no more."""
    paths = [tmp_path / name for name in ("cert.pem", "key.pem", "root.pem")]
    make_certificate(["studio.local", "localhost", "198.51.100.9", *list_machine_addresses()[:1]]).write_pem_files(
        *paths
    )
    return paths[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_on_this_machine_alone_the_address_is_localhost(host: str) -> None:
    assert reachable_hosts(host) == ["localhost"]


@NEEDS_NETWORK
def test_a_server_of_every_address_answers_under_each_that_is_told() -> None:
    listener = HttpListener(StudioApp(sessions(), AccessPolicy(TOKEN), "").build_app(), "0.0.0.0", 0)
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve()))
    thread.start()
    try:
        hosts = reachable_hosts("0.0.0.0")
        assert hosts
        assert not {"0.0.0.0", "127.0.0.1", "localhost"} & set(hosts)
        for host in hosts:
            with urlopen(f"{format_url(host, listener.port, tls=False)}health", timeout=20) as answer:
                assert answer.status == 200
    finally:
        listener.stop()
        thread.join(20)


@NEEDS_NETWORK
def test_names_of_the_certificate_come_first_and_its_foreign_addresses_are_left_out(certificate: Path) -> None:
    assert certificate_hosts(certificate) == ["studio.local", "198.51.100.9", list_machine_addresses()[0]]
    hosts = reachable_hosts("0.0.0.0", certificate)
    assert hosts[:2] == ["studio.local", list_machine_addresses()[0]]
    assert sorted(hosts[1:]) == sorted(list_machine_addresses())
    assert reachable_hosts("198.51.100.9", certificate) == ["198.51.100.9"]
    assert reachable_hosts("203.0.113.5", certificate) == ["studio.local", "203.0.113.5"]


def test_each_address_is_a_line_and_the_first_is_the_one_to_open() -> None:
    assert describe_urls(["studio.local", "fd00::2"], 8443, tls=True, token=TOKEN) == [
        f"open https://studio.local:8443/#token={TOKEN}",
        f"  or https://[fd00::2]:8443/#token={TOKEN}",
    ]
    assert describe_urls(["localhost"], 8000, tls=False) == ["open http://localhost:8000/"]


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="PEM"):
        certificate_hosts(tmp_path / "cert.pem")
