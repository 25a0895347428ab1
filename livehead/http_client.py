"""HTTP requests of livehead's own clients: each has a deadline for the whole of it, and none follows a redirect.

Every client sends by ``send_http_request``, so that the rules stand once: nothing for this machine goes to a proxy, and
nothing secret goes to a proxy in the clear. A server that answers byte by byte is given up at the deadline, and a
request that is cancelled ends at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

_LOOPBACK_NAMES = ("localhost", "localhost.localdomain")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A server's answer; the names in ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_loopback_host(host: str) -> bool:
    """Tell whether ``host``, a name or an address, is this machine and no other."""
    try:
        return host.lower() in _LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_use_proxy(url: str, *, secret: bool) -> bool:
    """Tell whether a request for ``url`` may go by the proxy that the environment names.

    ``secret``: the request holds a token or a key, which a proxy could read unless the address is https.
    """
    parts = urlsplit(url)
    return not is_loopback_host(parts.hostname or "") and (parts.scheme in ("https", "wss") or not secret)


async def send_http_request(
    method: str,
    url: str,
    *,
    deadline_s: float,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    max_bytes: int = 1 << 18,
) -> HttpAnswer:
    """Send one request and return its answer, of whose body at most ``max_bytes`` are read.

    ``deadline_s`` counts from the call to the last byte of the answer. Raises: TimeoutError, ssl.SSLError,
    socket.gaierror, ConnectionRefusedError, ConnectionError or another OSError, whichever says best what failed.
    """
    import httpx

    sent = {"User-Agent": "livehead", "Accept-Encoding": "identity", **(headers or {})}
    secret = any(name.lower() == "authorization" for name in sent)
    proxied = may_use_proxy(url, secret=secret)
    is_plain = urlsplit(url).scheme == "http"  # HTTPS: is https:, too
    verify = False if is_plain else ssl.create_default_context()
    try:
        async with (
            asyncio.timeout(deadline_s),
            httpx.AsyncClient(trust_env=proxied, verify=verify, timeout=deadline_s) as client,
            client.stream(method, url, headers=sent, content=content) as reply,
        ):
            return HttpAnswer(reply.status_code, dict(reply.headers), await _read_body(reply, max_bytes))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _find_cause(error) from error


async def _read_body(reply: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for part in reply.aiter_raw():
        body += part
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


def _find_cause(error: Exception) -> OSError:
    """Return the system's error behind one of httpx, or one that names it."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return TimeoutError("no answer in time")
    waiting: list[BaseException | None] = [error]
    causes = []
    while waiting:
        cause = waiting.pop()
        if cause is None or cause in causes:
            continue
        causes.append(cause)
        waiting += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
    named = [cause for cause in causes if isinstance(cause, OSError)]
    told = next((cause for cause in named if isinstance(cause, ssl.SSLError) or cause.errno), None)
    return told or (named[0] if named else ConnectionError(str(error) or type(error).__name__))
