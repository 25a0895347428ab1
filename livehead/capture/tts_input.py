"""A capture for speech that another program makes (text-to-speech, an assistant), played out in real time.

Python code calls ``push``, ``clear`` and ``close``. Other programs use a local socket, with one line before the sound:

    livehead-pcm 24000 1 s16le        sample rate, channels, format; then the samples until the connection is closed
    livehead-clear                    drop what has not been played yet

Sound may arrive faster than it is spoken: the socket then makes the writer wait. Connections are played one after the
other. ``livehead-clear``, on a connection of its own, ends those that push; to say something else, connect again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from livehead.audio.downmix import SpeechDownmixer
from livehead.audio.resampler import Signal, StreamingResampler
from livehead.clock import NS, PlaybackClock, RealtimePacer
from livehead.errors import CaptureError, ProtocolError
from livehead.frames import AudioFrame
from livehead.interfaces import EndOfStream

RATES = range(8_000, 192_001)
CHANNELS = range(1, 9)

_MAX_QUEUED_S = 60.0  # seconds of speech that ``push`` takes in advance
_SOCKET_AHEAD_S = 0.5  # seconds of speech taken from a socket in advance
_MAX_HEADER_BYTES = 128
_HEADER_TIMEOUT_S = 5.0  # a connection that has not sent its first line by then is closed
_CHUNK_BYTES = 16_384
_MAX_CONNECTIONS = 8


class PushedAudioCapture:
    """Plays the sound that is pushed, and silence while there is none, as mono float32 blocks at ``rate`` Hz.

    ``address``: path of a Unix socket (made with mode 0600), or a port of 127.0.0.1; None for ``push`` alone.
    After ``clear`` the ``pts`` of the next block is 0, which marks the beginning of another sound.
    Raises (on entering): CaptureError when the socket cannot be made.
    """

    def __init__(
        self,
        address: str | Path | int | None = None,
        *,
        rate: int = 48_000,
        block_ms: float = 10.0,
        clock: PlaybackClock | None = None,
    ) -> None:
        self.address = address
        self._rate = rate
        self._block_length = round(rate * block_ms / 1000)
        self._pacer = RealtimePacer(clock)
        self._blocks_played = 0
        self._lock = threading.Lock()
        self._queue: Signal = np.zeros(0, np.float32)
        self._resampler = StreamingResampler(rate, rate)
        self._downmixer = SpeechDownmixer()
        self._pts = 0
        self.generation = 0
        """How often the queue was cleared."""
        self._closed = False
        self._block_played = asyncio.Event()
        self._socket: _AudioSocketServer | None = None

    async def __aenter__(self) -> PushedAudioCapture:
        if self.address is not None:
            self._socket = _AudioSocketServer(self, self.address)
            await self._socket.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._socket is not None:
            await self._socket.close()

    @property
    def queued_s(self) -> float:
        """Seconds of speech that have not been played yet."""
        return len(self._queue) / self._rate

    async def wait_for_space(self, ahead_s: float) -> None:
        """Wait until less than ``ahead_s`` seconds of speech are queued, or the capture is cleared or closed."""
        generation = self.generation
        while self.queued_s >= ahead_s and generation == self.generation and not self._closed:
            self._block_played.clear()
            await self._block_played.wait()

    def push(self, samples: npt.NDArray[np.float32] | npt.NDArray[np.int16], rate: int) -> None:
        """Queue ``samples`` [N] or [C, N] (float in [-1, 1] or int16) of ``rate`` Hz; any thread may call this.

        Raises: CaptureError when too much is queued already, ValueError for another shape or rate.
        """
        if rate not in RATES or samples.ndim not in (1, 2):
            raise ValueError(f"speech is [N] or [C, N] at {RATES[0]} to {RATES[-1]} Hz, got {samples.shape} at {rate}")
        scale = 32768 if samples.dtype.kind == "i" else 1
        channels = np.clip(np.nan_to_num(np.atleast_2d(samples).astype(np.float32) / scale), -1, 1)
        with self._lock:
            mono = self._downmixer(channels, rate)
            if self.queued_s + len(mono) / rate > _MAX_QUEUED_S:
                raise CaptureError(
                    f"more than {_MAX_QUEUED_S:g} s of speech are waiting", "push it as it is spoken: look at queued_s"
                )
            if self._resampler.rate_in != rate:
                self._resampler = StreamingResampler(rate, self._rate)
            self._queue = np.concatenate([self._queue, self._resampler(mono)])

    def clear(self) -> None:
        """Drop what has not been played yet; silence follows at once. Any thread may call this."""
        with self._lock:
            self.generation += 1
            self._queue = self._queue[:0]
            self._resampler.reset()
            self._pts = 0
        if self._socket is not None:
            self._socket.abort_connections()

    def close(self) -> None:
        """End the stream after the present block. Any thread may call this."""
        self._closed = True

    async def recv(self) -> AudioFrame:
        """The next block, once its last sample is due, as from a microphone. Raises: EndOfStream once closed."""
        length_ns = self._block_length * NS // self._rate
        moment_ns = await self._pacer.wait_until_due(self._blocks_played * length_ns, length_ns)
        self._blocks_played += 1
        self._block_played.set()
        if self._closed:
            raise EndOfStream
        with self._lock:
            block, self._queue = self._queue[: self._block_length], self._queue[self._block_length :]
            pts = self._pts
            self._pts += self._block_length
        return AudioFrame(np.pad(block, (0, self._block_length - len(block)))[None], self._rate, pts, moment_ns)


class _AudioSocketServer:
    """The listening socket. Its input is not trusted, so every size and time is limited."""

    def __init__(self, capture: PushedAudioCapture, address: str | Path | int) -> None:
        self._capture = capture
        self._address = address
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream_lock = asyncio.Lock()
        self._connections: dict[asyncio.StreamWriter, int] = {}  # with the generation in which each came
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
            has_room = len(self._connections) < _MAX_CONNECTIONS
            self._connections[writer] = self._capture.generation
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                line = await reader.readline()
            if not has_room:
                raise ProtocolError("too many connections", "close those that are not used")
            if line.strip() == b"livehead-clear":
                del self._connections[writer]
                self._capture.clear()
            else:
                await self._read_pcm(reader, *_parse_header(line), self._connections[writer])
        except (ProtocolError, ValueError, TimeoutError) as error:
            writer.write(f"error: {error or 'say first what you send'}\n".encode())
        except ConnectionError:
            pass  # the client is gone, or ``clear`` ended its connection
        finally:
            self._connections.pop(writer, None)
            with suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _read_pcm(self, reader: asyncio.StreamReader, rate: int, channels: int, generation: int) -> None:
        frame_bytes = 2 * channels
        rest = b""
        async with self._stream_lock:
            while data := await reader.read(_CHUNK_BYTES):
                data = rest + data
                whole = len(data) // frame_bytes * frame_bytes
                rest = data[whole:]
                samples = np.frombuffer(data[:whole], "<i2").reshape(-1, channels).T
                await self._capture.wait_for_space(_SOCKET_AHEAD_S)
                if generation != self._capture.generation:
                    return
                self._capture.push(samples, rate)


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
