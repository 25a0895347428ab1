"""Accepts connections, all of which it counts from the first moment on, and ends those whose time is over."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import sys
from asyncio import constants, sslproto
from collections.abc import Callable

from livehead.clock import NS, now_ns
from livehead.server.client_connection import ClientConnection
from livehead.server.connection_table import ConnectionLimits, ConnectionTable, ConnectionTimeouts
from livehead.server.event_log import log_event
from livehead.server.stranger_turns import StrangerTurns

_WATCH_INTERVAL_S = 0.25
_TURN_S, _REST_S = 0.002, 0.006  # accepts for so long, then leaves the event loop to calls
_EXHAUSTED_PAUSE_S = 1.0
_EXHAUSTED_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TLS_BUFFER_BYTES = 32 * 1024  # holds a record of the largest size, 16 KiB
_LOG_INTERVAL_NS = 60 * NS


class ConnectionAcceptor:
    """Accepts clients of ``listening`` while the server runs.

    asyncio's own server counts nothing, holds 256 KiB for each TLS handshake, and logs without end when files run out.
    """

    def __init__(
        self,
        listening: socket.socket,
        limits: ConnectionLimits,
        timeouts: ConnectionTimeouts,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listening = listening
        self._timeouts = timeouts
        self._tls = tls
        self._table = ConnectionTable(limits)
        self._tasks: list[asyncio.Task[None]] = []
        self._told_ns: int | None = None
        self._told_count = 0

    def start(self, make_protocol: Callable[[ClientConnection], asyncio.Protocol]) -> None:
        """Begin to accept; ``make_protocol`` answers the requests of one connection."""
        if self._tls is not None:
            _shrink_tls_buffers()
        self._listening.setblocking(False)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._accept_all(make_protocol)), loop.create_task(self._watch())]

    async def stop(self) -> None:
        """Accept nobody any more, and end the connections that have asked for nothing."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._listening.close()
        for connection in self._table:
            if isinstance(connection, ClientConnection) and connection.protocol is None:
                connection.abort()

    def abort_all(self) -> None:
        """End every connection at once."""
        for connection in self._table:
            connection.abort()

    async def _accept_all(self, make_protocol: Callable[[ClientConnection], asyncio.Protocol]) -> None:
        loop, turns = asyncio.get_running_loop(), StrangerTurns()
        rest_at_s = loop.time() + _TURN_S
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except OSError as error:
                await self._pause_if_exhausted(error)
                continue
            connection = ClientConnection(str(address[0]), self._table, turns, self._timeouts, make_protocol)
            if self._table.admit(connection):
                self._open(connection, accepted)
            else:
                accepted.close()
            if loop.time() > rest_at_s:
                await asyncio.sleep(_REST_S)
                await turns.wait_for_room()  # in the system's queue, from where none is sent away before its turn
                rest_at_s = loop.time() + _TURN_S

    def _open(self, connection: ClientConnection, accepted: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._start_transport(connection, accepted))
        connection.opening = task
        task.add_done_callback(lambda done: self._on_opened(done, connection, accepted))

    async def _start_transport(self, connection: ClientConnection, accepted: socket.socket) -> None:
        if self._tls is not None and sys.platform != "win32":
            await _wait_for_bytes(accepted)  # what TLS needs is not made for whoever says nothing
        limit_s = self._timeouts.handshake_s if self._tls is not None else None
        close_s = self._timeouts.close_s if self._tls is not None else None
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=limit_s, ssl_shutdown_timeout=close_s
        )

    def _on_opened(self, task: asyncio.Task[None], connection: ClientConnection, accepted: socket.socket) -> None:
        """Clean up after a connection that could not be opened: its handshake failed, was too slow, or was ended."""
        connection.opening = None
        if task.cancelled() or task.exception() is not None:
            self._table.remove(connection)
            # a handshake may have been finished in that very moment: its transport must not outlive the file, whose
            # number the next client gets
            connection.abort()
            accepted.close()

    async def _watch(self) -> None:
        """End connections whose time is over, and tell now and then that some had to give way."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            now_s = loop.time()
            for connection in self._table:
                if isinstance(connection, ClientConnection):
                    connection.end_if_late(now_s)
            dropped = self._table.dropped_count - self._told_count
            if dropped and (self._told_ns is None or now_ns() - self._told_ns > _LOG_INTERVAL_NS):
                self._told_ns, self._told_count = now_ns(), self._table.dropped_count
                log_event("crowded", level=logging.WARNING, connections=len(self._table), dropped=dropped)

    async def _pause_if_exhausted(self, error: OSError) -> None:
        """Wait a moment where files or memory ran out, so that nothing is tried and logged without end."""
        if error.errno in _EXHAUSTED_ERRORS:
            if self._told_ns is None or now_ns() - self._told_ns > _LOG_INTERVAL_NS:
                self._told_ns = now_ns()
                log_event("crowded", level=logging.WARNING, connections=len(self._table), why=error.strerror or "")
            await asyncio.sleep(_EXHAUSTED_PAUSE_S)
        else:  # the client went away before it was accepted
            await asyncio.sleep(0)


async def _wait_for_bytes(accepted: socket.socket) -> None:
    """Wait until something has arrived, without taking it."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(accepted, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(accepted)


def _shrink_tls_buffers() -> None:
    """Let a TLS connection hold 32 KiB for what arrives: asyncio's 256 KiB twice would be 100 MB for 192 strangers."""
    sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
    constants.FLOW_CONTROL_HIGH_WATER_SSL_READ = _TLS_BUFFER_BYTES // 1024  # type: ignore[misc]
