"""The local socket by which another program (text-to-speech, an assistant) gives speech, with one line before it:

    livehead-pcm 24000 1 s16le        sample rate, channels, format; then the samples until the connection is closed
    livehead-clear                    drop what has not been played yet

Sound may arrive faster than it is spoken: the socket then makes the writer wait. Connections are played one after the
other; one that sends nothing for some seconds lets the next one speak, and goes on after it. ``livehead-clear``, on a
connection of its own, ends those that push, however many there are; to say something else, connect again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from livehead.errors import CaptureError, ProtocolError

RATES = range(8_000, 192_001)
CHANNELS = range(1, 9)
TURN_TIMEOUT_S = 3.0
"""Seconds without sound after which another connection may speak."""

_SOCKET_AHEAD_S = 0.5  # seconds of speech taken from a socket in advance
_MAX_HEADER_BYTES = 128
_HEADER_TIMEOUT_S = 5.0  # a connection that has not sent its first line by then is closed
_CHUNK_BYTES = 16_384
_MAX_CONNECTIONS = 8
_MAX_NEWCOMERS = 32  # connections that have not sent their first line; beyond that the oldest ends


class SpeechQueue(Protocol):
    """What takes the speech: ``capture.tts_input`` has it."""

    generation: int
    """How often the queue was cleared."""

    async def wait_for_space(self, ahead_s: float) -> None:
        """Wait until less than ``ahead_s`` seconds of speech are queued, or the queue is cleared or closed."""

    def push(self, samples: npt.NDArray[np.int16], rate: int) -> None:
        """Queue ``samples`` [C, N] of ``rate`` Hz."""

    def clear(self) -> None:
        """Drop what has not been played yet."""


class SpeechSocketServer:
    """The listening socket. Its input is not trusted, so every size and time is limited."""

    def __init__(self, capture: SpeechQueue, address: str | Path | int) -> None:
        self._capture = capture
        self._address = address
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream_lock = asyncio.Lock()
        self._connections: dict[asyncio.StreamWriter, int] = {}  # with the generation in which each came
        self._newcomers: dict[asyncio.StreamWriter, None] = {}
        self._connection_tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        if isinstance(self._address, int):
            self._server = await asyncio.start_server(
                self._handle_connection, sock=_bind_tcp_socket(self._address), limit=_MAX_HEADER_BYTES
            )
        else:
            listening = _bind_unix_socket(Path(self._address))
            self._server = await asyncio.start_unix_server(
                self._handle_connection, sock=listening, limit=_MAX_HEADER_BYTES
            )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._abort_older(self._capture.generation + 1)
            for writer in self._newcomers:
                writer.transport.abort()
            if self._connection_tasks:
                await asyncio.wait(self._connection_tasks)
            if not isinstance(self._address, int):
                with suppress(FileNotFoundError):
                    os.unlink(self._address)

    def abort_connections(self) -> None:
        """End the connections that push. Any thread may call this."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abort_older, self._capture.generation)

    def _abort_older(self, generation_limit: int) -> None:
        """End the connections that came in a generation before ``generation_limit``."""
        for writer, generation in list(self._connections.items()):
            if generation < generation_limit:
                writer.transport.abort()

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connection_tasks.add(task)
        task.add_done_callback(self._connection_tasks.discard)
        try:
            generation = self._capture.generation
            line = await self._read_first_line(reader, writer)
            if line.strip() == b"livehead-clear":
                self._capture.clear()
                return
            rate, channels = _parse_header(line)
            if len(self._connections) >= _MAX_CONNECTIONS:
                raise ProtocolError("too many connections", "close those that are not used")
            self._connections[writer] = generation
            await self._read_pcm(reader, rate, channels, generation)
        except (ProtocolError, ValueError, TimeoutError) as error:
            writer.write(f"error: {error or 'say first what you send'}\n".encode())
        except ConnectionError:
            pass  # the client is gone, or ``clear`` ended its connection
        finally:
            self._connections.pop(writer, None)
            with suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _read_first_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Read what a connection is for. It counts for no speaker yet, so that ``livehead-clear`` always has room."""
        if len(self._newcomers) >= _MAX_NEWCOMERS:
            next(iter(self._newcomers)).transport.abort()
        self._newcomers[writer] = None
        try:
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                return await reader.readline()
        finally:
            del self._newcomers[writer]

    async def _read_pcm(self, reader: asyncio.StreamReader, rate: int, channels: int, generation: int) -> None:
        """Play a connection's sound in its turns, until it ends or is cleared."""
        decoder, data = _PcmDecoder(channels), b""
        while True:
            async with self._stream_lock:
                if not await self._play_turn(reader, decoder, data, rate, generation):
                    return
            data = await reader.read(_CHUNK_BYTES)
            if not data:
                return

    async def _play_turn(
        self, reader: asyncio.StreamReader, decoder: _PcmDecoder, data: bytes, rate: int, generation: int
    ) -> bool:
        """Play ``data`` and what follows it. Returns True when nothing followed for a while, False at the end."""
        while True:
            if data:
                samples = decoder.decode(data)
                await self._capture.wait_for_space(_SOCKET_AHEAD_S)
                if generation != self._capture.generation:
                    return False
                self._capture.push(samples, rate)
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    data = await reader.read(_CHUNK_BYTES)
            except TimeoutError:
                return True
            if not data:
                return False


class _PcmDecoder:
    """Turns the bytes of a stream into samples [C, N]; a sample that is cut in two waits for its other half."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rest = b""

    def decode(self, data: bytes) -> npt.NDArray[np.int16]:
        """The samples that are whole by now, int16 [C, N]."""
        data = self._rest + data
        whole = len(data) // (2 * self._channels) * (2 * self._channels)
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], "<i2").reshape(-1, self._channels).T


def _parse_header(line: bytes) -> tuple[int, int]:
    """The sample rate and the number of channels in a connection's first line. Raises: ProtocolError."""
    words = line.decode("ascii", "replace").split()
    if len(words) == 4 and words[0] == "livehead-pcm" and words[1].isdigit() and words[2].isdigit():
        rate, channels = int(words[1]), int(words[2])
        if rate in RATES and channels in CHANNELS and words[3] == "s16le":
            return rate, channels
    raise ProtocolError(
        "the first line is not understood",
        f"write 'livehead-pcm RATE CHANNELS s16le' ({RATES[0]} to {RATES[-1]} Hz, 1 to {CHANNELS[-1]} channels)",
    )


def _bind_tcp_socket(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise CaptureError(f"port {port} cannot be used for speech ({error})", "choose another port") from error
    return listening


def _bind_unix_socket(path: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise CaptureError("this system has no Unix sockets", "give a port: --microphone speech:5005")
    try:
        _remove_stale_socket(path)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        path.chmod(0o600)  # before it listens: nobody can have connected
    except OSError as error:
        reason = error.strerror or str(error)
        raise CaptureError(
            f"cannot listen for speech at {path} ({reason})",
            "name a new file in a folder of your own",
            subject=str(path),
        ) from error
    return listening


def _remove_stale_socket(path: Path) -> None:
    """Remove a socket that a crashed run left. Raises: OSError when the path is something else or is in use."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError("there is a file of that name")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OSError("another program listens there")
    path.unlink()
