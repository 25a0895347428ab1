from __future__ import annotations

import pytest

from livehead.protocol.urls import split_network_url


def test_an_address_of_a_known_scheme_is_split() -> None:
    parts = split_network_url("https://media.example:8443/whip/talk", ("http", "https"))
    assert parts is not None
    assert (parts.hostname, parts.port, parts.path) == ("media.example", 8443, "/whip/talk")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://media.example/talk",
        "https://",
        "https://media.example:0/talk",
        "https://media.example:port/talk",
        "https://media.example/a talk",
        "https://media.example/\x07",
        "https://[::1/talk",
    ],
)
def test_an_address_that_cannot_work_is_refused(url: str) -> None:
    assert split_network_url(url, ("http", "https")) is None
