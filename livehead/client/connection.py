"""How livehead as a client talks to a ``livehead serve``: the server's address, its WebSocket, requests and answers."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError
from livehead.http_client import is_loopback_host, may_use_proxy
from livehead.protocol import messages

AnswerT = TypeVar("AnswerT", bound=messages.SignalingMessage)

CONNECTION_ERRORS = (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)
"""The exceptions that mean that a connection could not be made or is lost."""

_ANSWER_TIMEOUT_S = 10.0
_PING_INTERVAL_S = 3.0
_CLOSE_TIMEOUT_S = 1.0  # for a server that does not answer the end of a connection


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The addresses of a server: ``websocket_url`` for messages, ``http_url`` for uploads (no slash at its end)."""

    websocket_url: str
    http_url: str

    @classmethod
    def parse(cls, url: str, remedy: str = "write --render-at wss://HOST[:PORT]") -> ServerAddress:
        """Parse ``wss://host[:port]``, or ``ws://`` for this machine. Raises: ConfigError with that ``remedy``."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"{url} is no address of a server", remedy) from error
        if parts.username is not None or parts.password is not None:
            raise ConfigError("a token or password may not stand in an address", f"set {TOKEN_VARIABLE}")
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("ws", "wss") or not host or rest:
            raise ConfigError(f"{url} is no address of a server", remedy)
        if parts.scheme == "ws" and not is_loopback_host(host):
            raise ConfigError(f"{host} would be reached in the clear", remedy)
        netloc = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
        return cls(f"{parts.scheme}://{netloc}/signal", f"http{'s' * (parts.scheme == 'wss')}://{netloc}")


class _DirectConnection(connect):
    """Follows no redirect, since another server would get the token that this one was to get."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def open_socket(address: ServerAddress) -> connect:
    """A WebSocket connection, to be entered with ``async with``. Raises: what ``CONNECTION_ERRORS`` lists."""
    return _DirectConnection(
        address.websocket_url,
        proxy=True if may_use_proxy(address.websocket_url, secret=True) else None,
        compression=None,
        max_size=messages.MAX_MESSAGE_BYTES,
        ping_interval=_PING_INTERVAL_S,
        ping_timeout=_PING_INTERVAL_S,
        open_timeout=_ANSWER_TIMEOUT_S,
        close_timeout=_CLOSE_TIMEOUT_S,
    )


def certificate_error(address: ServerAddress, error: ssl.SSLCertVerificationError) -> ConfigError:
    """The error for a server whose certificate no trusted authority has signed."""
    return ConfigError(
        f"the certificate of {address.http_url} is not trusted ({error.verify_message})",
        "set SSL_CERT_FILE to the PEM file of who issued it",
    )


async def send_message(socket: ClientConnection, message: messages.ClientMessage) -> None:
    """Send ``message`` to the server as JSON text."""
    await socket.send(messages.encode_message(message))


async def send_request(socket: ClientConnection, message: messages.ClientMessage, kind: type[AnswerT]) -> AnswerT:
    """Send ``message`` and wait for an answer of ``kind``; other messages are skipped.

    Raises: ConfigError with the problem that the server answers instead.
    """
    await send_message(socket, message)
    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
        while True:
            answer = messages.decode_server_message(text_or_empty(await socket.recv()))
            if isinstance(answer, messages.ProblemMessage):
                raise ConfigError(answer.problem, answer.remedy)
            if isinstance(answer, kind):
                return answer


def text_or_empty(received: str | bytes) -> str:
    """The message if it is text; an empty text, which is no valid message, if it is binary."""
    return received if isinstance(received, str) else ""
