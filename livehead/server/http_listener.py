"""Serves the application on a socket, by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from livehead.errors import ConfigError
from livehead.protocol.messages import MAX_MESSAGE_BYTES

_FIRST_REQUEST_TIMEOUT_S = 10.0  # a connection that has not asked for anything by then is closed
_MAX_CONNECTIONS = 256
_SHUTDOWN_TIMEOUT_S = 5
_PING_INTERVAL_S = 10.0


class _FirstRequestTimeout(H11Protocol):
    """uvicorn's protocol, with a time limit for the first request: uvicorn would wait for it without end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_FIRST_REQUEST_TIMEOUT_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        headers: object = self.headers  # None until the first request is whole
        if headers is None and not self.transport.is_closing():
            self.transport.close()


class _GracefulServer(uvicorn.Server):
    """uvicorn's server, which ends by itself: uvicorn would raise the signal that ended it a second time."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        in_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        for number in numbers:
            if sys.platform == "win32":
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._request_exit))
            else:
                loop.add_signal_handler(number, self._request_exit)
        yield

    def _request_exit(self) -> None:
        self.should_exit = True


def require_free_port(host: str, port: int) -> None:
    """Check that a server can listen on ``host`` and ``port``. Raises: ConfigError."""
    _open_listening_socket(host, port).close()


class HttpListener:
    """Listens from the beginning, so that a port in use is told before anything else. Raises: ConfigError."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self._socket = _open_listening_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        """The port that the server listens on, also where port 0 asked for a free one."""
        config = uvicorn.Config(
            app,
            http=_FirstRequestTimeout,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=_PING_INTERVAL_S,
            ws_ping_timeout=_PING_INTERVAL_S,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
            ssl_context_factory=self._make_tls_context if tls is not None else None,
        )
        self._server = _GracefulServer(config)

    def url(self, token: str = "") -> str:
        """The address to open in a browser. The token is behind ``#``, a part that browsers send to no server."""
        name = "localhost" if self._host in ("127.0.0.1", "localhost", "::1") else self._host
        name = f"[{name}]" if ":" in name else name
        return f"http{'s' if self._tls else ''}://{name}:{self.port}/" + (f"#token={token}" if token else "")

    @property
    def started(self) -> bool:
        """Tells whether requests are answered."""
        return bool(self._server.started)

    async def serve(self) -> None:
        """Serve until a signal comes or ``stop`` is called."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """End ``serve``, gracefully."""
        self._server.should_exit = True

    def _make_tls_context(self, config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert self._tls is not None
        return self._tls


def _open_listening_socket(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"there is no address {host} here", "give --host an address of this machine") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()  # a client that connects before the server answers waits instead of being refused
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is in use", "give another --port, or 0 for a free one") from error
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror})", "give another --host or --port"
        ) from error
    return listening
