"""Decides who may use the server: by token, Origin and Host, and by rates. This module does no I/O.

A browser sends the requests of any page to any address, so an answer depends on where the request's page came from:
``Origin`` has to be the very host that was asked. Without a token only loopback names are answered, since another
name that an attacker points to 127.0.0.1 (DNS rebinding) would be an Origin of its own. Nothing is ever decided by a
cookie, so no page can make a browser act in a person's name.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from livehead.clock import NS
from livehead.errors import SessionError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MIN_TOKEN_LENGTH = 16
"""How many characters a token has at least."""
EXTENSION_ORIGIN = "chrome-extension://gdbhjjaanmgagdkiehdmecmfomfgadih"
"""The Origin of plugins/browser: its name follows from the public key in its manifest, which a test compares."""
_MAX_ADDRESSES = 4096  # are remembered at a time, so that an attacker's addresses cannot fill the memory


def generate_key() -> str:
    """A key that nobody can guess: 192 random bits as text."""
    return secrets.token_urlsafe(24)


def constant_time_equal(one: str, other: str) -> bool:
    """Tell whether two secrets are equal; the time this takes does not reveal how far they agree."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules of access: a studio page has to show ``token``, which is empty where only loopback is served.

    Pages of ``origins`` may use the server beside its own. Pages of ``viewer_origins`` may watch what they hold a key
    or the token for, and reach nothing else.
    """

    token: str = ""
    origins: frozenset[str] = frozenset()
    viewer_origins: frozenset[str] = frozenset()

    def is_valid_token(self, token: str) -> bool:
        """Tell whether ``token`` opens a studio."""
        return not self.token or constant_time_equal(self.token, token)

    def is_allowed_host(self, host: str) -> bool:
        """Tell whether a request with this ``Host`` header is answered."""
        return bool(self.token) or _host_name(host) in LOOPBACK_NAMES

    def is_allowed_origin(self, origin: str | None, host: str, path: str = "/") -> bool:
        """Whether a request for ``path`` by a page of ``origin`` is answered; one without Origin comes from no page."""
        if origin is None:
            return True
        if origin in self.origins:
            return True
        if origin in self.viewer_origins:
            return path == "/whep" or path.startswith("/whep/")
        try:
            parts = urlsplit(origin)
        except ValueError:  # such as http://[
            return False
        return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == host.lower()


def too_many_wrong_keys_error() -> SessionError:
    """The error for a wrong key from an address that tries keys (429 Too Many Requests)."""
    return SessionError(
        "the key is wrong, as were too many from this address", "open the link that livehead serve printed", status=429
    )


def _host_name(host: str) -> str:
    """The host name in a ``Host`` header, without port and brackets; empty when there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class RateLimiter:
    """Lets at most ``max_events`` of one address pass in ``period_s`` seconds, as a token bucket that fills evenly."""

    def __init__(self, max_events: int, period_s: float) -> None:
        self._max_events = float(max_events)
        self._events_per_ns = max_events / (period_s * NS)
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def try_acquire(self, address: str, now_ns: int) -> bool:
        """Count one event, and say whether it was still within the rate."""
        left = self._available_events(address, now_ns)
        self._buckets[address] = (max(left - 1, 0.0), now_ns)
        self._buckets.move_to_end(address)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1

    def _available_events(self, address: str, now_ns: int) -> float:
        left, since_ns = self._buckets.get(address, (self._max_events, now_ns))
        return min(self._max_events, left + (now_ns - since_ns) * self._events_per_ns)
