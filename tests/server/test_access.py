"""Who is let in."""

import pytest

from livehead.clock import NS
from livehead.server.access import EXTENSION, Access, Rate, new_key, same

TOKEN = "sixteen or more characters"


def test_without_a_token_only_loopback_names_are_answered() -> None:
    access = Access()
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert access.host_right(host)
    for host in ("evil.example:8000", "127.0.0.1.evil.example", "192.168.1.5:8000", "", "[", "localhost@evil.example"):
        assert not access.host_right(host)


def test_with_a_token_any_name_is_answered_as_nobody_guesses_it() -> None:
    access = Access(TOKEN)
    assert access.host_right("studio.example")
    assert access.token_right(TOKEN)
    assert not access.token_right(TOKEN[:-1])
    assert not access.token_right("")


@pytest.mark.parametrize(
    ("origin", "right"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),
        ("http://localhost:8001", False),
        ("http://evil.example", False),
        ("null", False),
        ("http://localhost:8000.evil.example", False),
        ("chrome-extension://localhost:8000", False),
    ],
)
def test_pages_of_other_origins_are_not_answered(origin: str | None, right: bool) -> None:
    assert Access().origin_right(origin, "localhost:8000") is right


def test_a_proxy_s_own_origin_can_be_named() -> None:
    assert Access(TOKEN, frozenset({"https://a.example"})).origin_right("https://a.example", "127.0.0.1:8000")


@pytest.mark.parametrize("path", ["/whep", "/whep/me"])
def test_an_origin_that_may_watch_reaches_what_shows(path: str) -> None:
    access = Access(watchers=frozenset({EXTENSION}))
    assert access.origin_right(EXTENSION, "localhost:8000", path)
    assert not access.origin_right("chrome-extension://another", "localhost:8000", path)
    assert not Access().origin_right(EXTENSION, "localhost:8000", path)


@pytest.mark.parametrize(
    "path", ["/", "/signal", "/photo", "/whip/me", "/recording", "/metrics", "/health", "/whepping"]
)
def test_an_origin_that_may_watch_reaches_nothing_else(path: str) -> None:
    assert not Access(watchers=frozenset({EXTENSION})).origin_right(EXTENSION, "localhost:8000", path)


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert min(map(len, keys)) >= 32
    assert same("a", "a")
    assert not same("a", "b")


def test_a_rate_lets_so_many_through_and_then_fills_again() -> None:
    rate = Rate(3, 3.0)
    assert [rate.allows("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert rate.allows("b", 0)
    assert rate.exhausted("a", 0)
    assert rate.allows("a", 1 * NS)
    assert not rate.allows("a", 1 * NS)


def test_a_rate_remembers_a_bounded_number_of_addresses() -> None:
    rate = Rate(1, 1.0)
    for number in range(10_000):
        rate.allows(str(number), 0)
    assert len(rate._buckets) <= 4096
