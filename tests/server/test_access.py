"""Who is let in."""

import pytest

from livehead.clock import NS
from livehead.server.access import EXTENSION_ORIGIN, AccessPolicy, RateLimiter, constant_time_equal, generate_key

TOKEN = "sixteen or more characters"


def test_without_a_token_only_loopback_names_are_answered() -> None:
    access = AccessPolicy()
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert access.is_allowed_host(host)
    for host in ("evil.example:8000", "127.0.0.1.evil.example", "192.168.1.5:8000", "", "[", "localhost@evil.example"):
        assert not access.is_allowed_host(host)


def test_with_a_token_any_name_is_answered_as_nobody_guesses_it() -> None:
    access = AccessPolicy(TOKEN)
    assert access.is_allowed_host("studio.example")
    assert access.is_valid_token(TOKEN)
    assert not access.is_valid_token(TOKEN[:-1])
    assert not access.is_valid_token("")


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
        ("http://[", False),
        ("http://[::1", False),
        ("http://localhost:8000\x00", False),
        ("\xff", False),
        ("", False),
    ],
)
def test_pages_of_other_origins_are_not_answered(origin: str | None, right: bool) -> None:
    assert AccessPolicy().is_allowed_origin(origin, "localhost:8000") is right


def test_a_proxy_s_own_origin_can_be_named() -> None:
    assert AccessPolicy(TOKEN, frozenset({"https://a.example"})).is_allowed_origin(
        "https://a.example", "127.0.0.1:8000"
    )


@pytest.mark.parametrize("path", ["/whep", "/whep/me"])
def test_an_origin_that_may_watch_reaches_what_shows(path: str) -> None:
    access = AccessPolicy(viewer_origins=frozenset({EXTENSION_ORIGIN}))
    assert access.is_allowed_origin(EXTENSION_ORIGIN, "localhost:8000", path)
    assert not access.is_allowed_origin("chrome-extension://another", "localhost:8000", path)
    assert not AccessPolicy().is_allowed_origin(EXTENSION_ORIGIN, "localhost:8000", path)


@pytest.mark.parametrize(
    "path", ["/", "/signal", "/photo", "/whip/me", "/recording", "/metrics", "/health", "/whepping"]
)
def test_an_origin_that_may_watch_reaches_nothing_else(path: str) -> None:
    assert not AccessPolicy(viewer_origins=frozenset({EXTENSION_ORIGIN})).is_allowed_origin(
        EXTENSION_ORIGIN, "localhost:8000", path
    )


def test_keys_are_long_and_never_the_same() -> None:
    keys = {generate_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert min(map(len, keys)) >= 32
    assert constant_time_equal("a", "a")
    assert not constant_time_equal("a", "b")


def test_a_rate_lets_so_many_through_and_then_fills_again() -> None:
    rate = RateLimiter(3, 3.0)
    assert [rate.try_acquire("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert rate.try_acquire("b", 0)
    assert rate.try_acquire("a", 1 * NS)
    assert not rate.try_acquire("a", 1 * NS)


def test_a_rate_remembers_a_bounded_number_of_addresses() -> None:
    rate = RateLimiter(1, 1.0)
    for number in range(10_000):
        rate.try_acquire(str(number), 0)
    assert len(rate._buckets) <= 4096
