"""What a client of ours needs to converse with a ``livehead serve``: its address, a WebSocket, an answer at a time."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from livehead.errors import ConfigError
from livehead.server import protocol
from livehead.server.access import LOOPBACK_NAMES

AnswerT = TypeVar("AnswerT", bound=protocol.Message)

LOST = (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)
"""What a connection that is not there, or no longer, raises."""

_ANSWER_S = 10.0
_PING_S = 3.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a studio is: ``socket`` for messages, ``http`` for uploads (no slash at the end)."""

    socket: str
    http: str

    @classmethod
    def parse(cls, url: str, remedy: str = "write --render-at wss://HOST[:PORT]") -> Address:
        """``wss://host[:port]``, or ``ws://`` on this machine. Raises: ConfigError with that ``remedy``."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"{url} is no address of a server", remedy) from error
        if parts.username is not None or parts.password is not None:
            raise ConfigError("a token or password may not stand in an address", "set LIVEHEAD_TOKEN")
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("ws", "wss") or not host or rest:
            raise ConfigError(f"{url} is no address of a server", remedy)
        if parts.scheme == "ws" and not _loopback(host):
            raise ConfigError(f"{host} would be reached in the clear", remedy)
        place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
        return cls(f"{parts.scheme}://{place}/signal", f"http{'s' * (parts.scheme == 'wss')}://{place}")


def _loopback(host: str) -> bool:
    try:
        return host in LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def call(address: Address) -> connect:
    """A connection, to be entered with ``async with``. Raises: what ``LOST`` lists."""
    return connect(
        address.socket,
        compression=None,
        max_size=protocol.MOST_BYTES,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        open_timeout=_ANSWER_S,
    )


def untrusted(address: Address, error: ssl.SSLCertVerificationError) -> ConfigError:
    """What to say of a server whose certificate nobody vouches for."""
    return ConfigError(
        f"the certificate of {address.http} is not trusted ({error.verify_message})",
        "set SSL_CERT_FILE to the PEM file of who issued it",
    )


async def say(socket: ClientConnection, message: protocol.FromPage) -> None:
    """Send ``message``."""
    await socket.send(protocol.encode(message))


async def asked(socket: ClientConnection, message: protocol.FromPage, kind: type[AnswerT]) -> AnswerT:
    """The answer of ``kind``; news in between are passed over. Raises: ConfigError when there is a problem instead."""
    await say(socket, message)
    async with asyncio.timeout(_ANSWER_S):
        while True:
            answer = protocol.decode_answer(text(await socket.recv()))
            if isinstance(answer, protocol.Problem):
                raise ConfigError(answer.problem, answer.remedy)
            if isinstance(answer, kind):
                return answer


def text(received: str | bytes) -> str:
    """A message that is text; of any other nothing is left, which is none."""
    return received if isinstance(received, str) else ""
