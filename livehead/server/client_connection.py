"""One client's connection: what it may take of time, memory and the event loop, around a protocol of uvicorn's.

uvicorn's protocols neither limit what waits to be sent nor end a connection whose other side reads nothing, and drop
their own time limit at any byte. They get a transport that does both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any

from livehead.server.connection_table import ConnectionTable, ConnectionTimeouts, network_of
from livehead.server.stranger_turns import StrangerTurns

CONNECTION_STATE_KEY = "livehead.connection"
"""Where the ``state`` of an ASGI scope holds its ClientConnection."""

_MAX_UNSENT_BYTES = 256 * 1024  # a client that takes nothing gets nothing more
_STRANGER_CHUNK_BYTES = 2048  # are parsed at a time
_TRUSTED_CHUNK_BYTES = 64 * 1024


class ConnectionPhase(Enum):
    """What a connection is doing."""

    HANDSHAKE = "the TLS handshake"
    HEAD = "a request's head arrives"
    BODY = "a request's body arrives"
    ANSWER = "a request is answered"
    REFUSED_BODY = "the body of a request arrives that has been answered"
    IDLE = "the next request has not begun"
    CONVERSATION = "a WebSocket"
    CLOSING = "the rest is sent before the end"


class ClientConnection(asyncio.BufferedProtocol):
    """Stands between asyncio's transport and ``make_protocol(self)``, which is made when the first byte arrives."""

    def __init__(
        self,
        address: str,
        table: ConnectionTable,
        turns: StrangerTurns,
        timeouts: ConnectionTimeouts,
        make_protocol: Callable[[ClientConnection], asyncio.Protocol],
    ) -> None:
        self.network = network_of(address)
        self.trusted = False
        """Tells whether a right key or token was shown."""
        self.protocol: asyncio.Protocol | None = None
        self.opening: asyncio.Task[None] | None = None
        """The task that opens the connection, which ends it when it is cancelled."""
        self._table = table
        self._turns = turns
        self._timeouts = timeouts
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._received = b""
        self._turn_count = 0
        self._waits_for_turn = False
        self._protocol_paused = False
        self._ignored = False
        self._unsent_size, self._unsent_since_s = 0, 0.0
        self._phase = ConnectionPhase.HANDSHAKE
        self._deadline_s: float | None = self._loop.time() + timeouts.handshake_s

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of asyncio; there is one from ``connection_made`` on."""
        assert self._transport is not None
        return self._transport

    @property
    def is_busy(self) -> bool:
        """Tells whether a whole request has come: it is being answered, or began the conversation of a WebSocket."""
        return self._phase in (ConnectionPhase.ANSWER, ConnectionPhase.CONVERSATION)

    @property
    def is_closing(self) -> bool:
        """Tells whether nothing more is to be sent or received."""
        return self._phase is ConnectionPhase.CLOSING or self.transport.is_closing()

    def enter_phase(self, phase: ConnectionPhase) -> None:
        """Note what the connection does now; a phase that it is in already goes on, and its time with it."""
        if phase is not self._phase and self._phase is not ConnectionPhase.CLOSING:
            self._phase = phase
            self._set_deadline()

    def _set_deadline(self) -> None:
        times = self._timeouts
        seconds = {
            ConnectionPhase.HANDSHAKE: times.handshake_s,
            ConnectionPhase.IDLE: times.idle_s,  # uvicorn's own ends with any byte
            ConnectionPhase.HEAD: times.request_s,
            ConnectionPhase.BODY: times.body_s,
            ConnectionPhase.REFUSED_BODY: times.refused_body_s,
            ConnectionPhase.CLOSING: times.close_s,
            ConnectionPhase.ANSWER: None if self.trusted else times.answer_s,
            ConnectionPhase.CONVERSATION: None if self.trusted else times.hello_s,
        }[self._phase]
        self._deadline_s = None if seconds is None else self._loop.time() + seconds

    def trust(self, *, viewer: bool = False) -> None:
        """Note that a right key or token was shown; of a ``viewer``'s key only so many are trusted."""
        if not self.trusted and self._table.trust(self, viewer=viewer):
            self.trusted = True
            if self._phase in (ConnectionPhase.ANSWER, ConnectionPhase.CONVERSATION):
                self._set_deadline()

    def distrust(self) -> None:
        """Note that the request with the right key or token is over."""
        if self.trusted:
            self.trusted = False
            self._table.distrust(self)

    def abort(self) -> None:
        """End the connection at once; what waits to be sent is lost."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def end_if_late(self, now_s: float) -> None:
        """End the connection if its time is over, or if the other side does not take what was sent."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self.abort()
            return
        if self._transport is None or self._transport.is_closing():
            return
        size = self._transport.get_write_buffer_size()
        if size == 0 or (self.trusted and size != self._unsent_size):
            self._unsent_since_s = now_s
        self._unsent_size = size
        if now_s - self._unsent_since_s > self._timeouts.unread_s:
            self.abort()

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unsent_since_s = self._loop.time()
        self.enter_phase(ConnectionPhase.HEAD)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where what arrives is put: little of a stranger at a time."""
        size = _TRUSTED_CHUNK_BYTES if self.trusted else _STRANGER_CHUNK_BYTES
        if len(self._buffer) != size:
            self._buffer = bytearray(size)
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what has arrived; of a stranger in its turn, and nothing more is read until then."""
        data = bytes(self._buffer[:nbytes])
        if self.trusted:
            self._deliver(data)
            return
        self._received += data
        if not self._waits_for_turn:
            self._waits_for_turn = True
            self._apply_pauses()
            in_conversation = self._phase is ConnectionPhase.CONVERSATION  # the key comes next
            self._turns.request_turn(self._turn_count - 3 * in_conversation, self._take_turn)

    def _take_turn(self) -> None:
        self._waits_for_turn = False
        self._turn_count += 1
        data, self._received = self._received, b""
        if data and not self.is_closing:
            self._deliver(data)
        self._apply_pauses()

    def _deliver(self, data: bytes) -> None:
        delivered = False
        try:
            if self.protocol is None:
                self.protocol = self._make_protocol(self)
                self.protocol.connection_made(BoundedTransport(self))
            self.protocol.data_received(data)
            delivered = True
        finally:
            if not delivered:
                self.abort()

    def ignore(self) -> None:
        """Read nothing more of a stranger, whose time is over soon; one that were sent away would come back at once."""
        self._ignored = True
        self._apply_pauses()

    def pause_protocol(self, paused: bool) -> None:
        """Stop reading, or go on, as the protocol wishes."""
        self._protocol_paused = paused
        self._apply_pauses()

    def _apply_pauses(self) -> None:
        if not self.transport.is_closing():
            if self._waits_for_turn or self._protocol_paused or self._ignored:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def eof_received(self) -> bool | None:
        """Tell the protocol that the other side sends nothing more, after what it has sent."""
        if self._received and not self.is_closing:
            data, self._received = self._received, b""
            self._deliver(data)
        return self.protocol.eof_received() if self.protocol is not None else None

    def pause_writing(self) -> None:
        """Let the protocol wait until the other side has taken more."""
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Let the protocol send again."""
        if self.protocol is not None:
            self.protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        self._received = b""
        self._table.remove(self)
        protocol, self.protocol = self.protocol, None  # so that nothing is left to the garbage collector
        if protocol is not None:
            protocol.connection_lost(error)

    # what the protocol's transport does

    def send(self, data: bytes) -> None:
        """Send ``data``, or end the connection where too much waits to be sent already."""
        if not data or self.is_closing:
            return
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.abort()
            return
        self.transport.write(data)

    def close(self) -> None:
        """End the connection when everything is sent, or when the time for that is over."""
        if not self.is_closing:
            self.enter_phase(ConnectionPhase.CLOSING)
            self.transport.close()


class BoundedTransport(asyncio.Transport):
    """The transport that a protocol of uvicorn's gets."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self.connection = connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio's transport knows."""
        return self.connection.transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Tells whether the connection ends."""
        return self.connection.is_closing

    def close(self) -> None:
        """End the connection when everything is sent."""
        self.connection.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.connection.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Go on with ``protocol``, that of a WebSocket."""
        assert isinstance(protocol, asyncio.Protocol)
        self.connection.protocol = protocol
        self.connection.enter_phase(ConnectionPhase.CONVERSATION)

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        self.connection.pause_protocol(True)

    def resume_reading(self) -> None:
        """Read again."""
        self.connection.pause_protocol(False)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``."""
        self.connection.send(bytes(data))

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent."""
        return self.connection.transport.get_write_buffer_size()


def trust_connection(state: dict[str, Any], *, viewer: bool = False) -> None:
    """Note in the ``state`` of a request's scope that it has shown a right key or token, or the key of a ``viewer``."""
    connection = state.get(CONNECTION_STATE_KEY)
    if isinstance(connection, ClientConnection):
        connection.trust(viewer=viewer)
