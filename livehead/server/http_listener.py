"""Serves the application on a socket, by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from livehead.protocol.messages import MAX_MESSAGE_BYTES
from livehead.server.client_connection import CONNECTION_STATE_KEY, ClientConnection
from livehead.server.connection_acceptor import ConnectionAcceptor
from livehead.server.connection_table import ConnectionLimits, ConnectionTimeouts
from livehead.server.file_limit import raise_file_limit
from livehead.server.http_protocols import BoundedWebSocketProtocol, TimedHttpProtocol
from livehead.server.listening_socket import open_listening_socket
from livehead.signals import stop_on_signals

_SHUTDOWN_TIMEOUT_S = 3
_PING_INTERVAL_S = 10.0


class _GracefulServer(uvicorn.Server):
    """uvicorn's server with an acceptor of ours, which ends by itself.

    uvicorn would raise the signal that ended it a second time.
    """

    def __init__(self, config: uvicorn.Config, acceptor: ConnectionAcceptor) -> None:
        super().__init__(config)
        self._acceptor = acceptor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._acceptor.start(self._make_protocol)

    def _make_protocol(self, connection: ClientConnection) -> asyncio.Protocol:
        state = {**self.lifespan.state, CONNECTION_STATE_KEY: connection}
        return TimedHttpProtocol(self.config, self.server_state, state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._acceptor.stop()
        await super().shutdown(sockets=[])
        self._acceptor.abort_all()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        stop_on_signals(self._request_exit)
        yield

    def _request_exit(self) -> None:
        self.should_exit = True


class HttpListener:
    """Listens from the beginning, so that a port in use is told before anything else. Raises: ConfigError."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: ConnectionLimits | None = None,
        timeouts: ConnectionTimeouts | None = None,
    ) -> None:
        """``limits`` of connections come from the system's limit of files unless they are given."""
        self._tls = tls
        self._socket = open_listening_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        """The port that the server listens on, also where port 0 asked for a free one."""
        config = uvicorn.Config(
            app,
            http=TimedHttpProtocol,
            ws=BoundedWebSocketProtocol,
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
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
        )
        limits = limits or ConnectionLimits.for_files(raise_file_limit())
        acceptor = ConnectionAcceptor(self._socket, limits, timeouts or ConnectionTimeouts(), tls)
        self._server = _GracefulServer(config, acceptor)

    @property
    def started(self) -> bool:
        """Tells whether requests are answered."""
        return bool(self._server.started)

    async def serve(self) -> None:
        """Serve until a signal comes or ``stop`` is called."""
        await self._server.serve()

    def stop(self) -> None:
        """End ``serve``, gracefully."""
        self._server.should_exit = True
