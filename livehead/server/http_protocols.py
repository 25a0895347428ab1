"""uvicorn's two protocols, with a time limit for every request and a limit for a stranger's pings."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from livehead.server.client_connection import BoundedTransport, ClientConnection, ConnectionPhase

_MAX_STRANGER_PINGS = 8  # no page sends any, other clients one in some seconds


class TimedHttpProtocol(H11Protocol):
    """Tells the connection what it is doing; uvicorn's own time limit ends at the first byte of the next request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._connection = _connection_of(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._tell_phase()

    def on_response_complete(self) -> None:
        self._connection.distrust()
        self._connection.enter_phase(ConnectionPhase.IDLE)
        super().on_response_complete()
        self._tell_phase()

    def _tell_phase(self) -> None:
        if self._connection.protocol is not self:
            return  # it is a WebSocket now
        answered = self.cycle is None or self.cycle.response_complete
        if self.conn.their_state is h11.SEND_BODY:
            phase = ConnectionPhase.REFUSED_BODY if answered else ConnectionPhase.BODY
        elif not answered:
            phase = ConnectionPhase.ANSWER
        else:
            phase = ConnectionPhase.HEAD if self.conn.trailing_data[0] else ConnectionPhase.IDLE
        self._connection.enter_phase(phase)


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Answers so many pings of a stranger and no more; those of others are limited by what they read."""

    _ping_count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = _connection_of(transport)
        super().connection_made(transport)

    def handle_ping(self) -> None:
        self._ping_count += 1
        if self._ping_count > _MAX_STRANGER_PINGS and not self._connection.trusted:
            self._connection.ignore()
            return
        super().handle_ping()


def _connection_of(transport: asyncio.BaseTransport) -> ClientConnection:
    assert isinstance(transport, BoundedTransport)
    return transport.connection
