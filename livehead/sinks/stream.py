"""Streams the avatar to media servers and players: RTMP (FLV) and MPEG-TS over UDP, with H.264 and AAC.

No frame is held back: x264 runs with ``ultrafast`` and ``zerolatency`` at a constant rate, and gives a key frame a
second, so that a new viewer sees a picture within a second. A receiver that stalls or goes away costs this sink its
frames, and nothing else.
"""

from __future__ import annotations

import logging
import socket
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import av
import av.error

from livehead.clock import NS, ExponentialBackoff, now_ns
from livehead.codecs.film_formats import VideoEncoding
from livehead.codecs.h264 import NO_KEY_FRAMES, live_x264_options
from livehead.codecs.muxer import MediaMuxer, MuxerOptions
from livehead.concurrency import Worker
from livehead.environment import STREAM_KEY_VARIABLE
from livehead.errors import ConfigError, SinkError
from livehead.frames import Frame, VideoFrame
from livehead.protocol.urls import split_network_url
from livehead.stats import StatsCollector

log = logging.getLogger(__name__)

_IO_TIMEOUT_S = 3.0  # a receiver that takes nothing for so long is given up
_STEADY_NS = 5 * NS  # after a connection that lasted so long, the waits begin with the shortest again
_KEY_FRAME_INTERVAL_S = 1.0
_DATAGRAM_BYTES = 7 * 188  # whole packets of MPEG-TS, below any network's limit
_MAX_INTERLEAVE_US = 200_000  # pictures and sound wait so long for each other at most, to be sent in order of time
_QUEUE_PACKETS = 60  # most of a second of pictures and sound; a longer queue is dropped up to a key frame
_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """The receiver of a stream: FFmpeg's ``url``, ``format``, ``options``, and a ``name`` that holds no secret."""

    name: str
    host: str
    port: int
    url: str
    format: str
    options: dict[str, str] = field(default_factory=dict)


def rtmp_target(address: str, key: str = "") -> StreamTarget:
    """The target for ``rtmp://HOST[:PORT]/APP[/KEY]``, also ``rtmps``, with ``key`` appended. Raises: ConfigError."""
    url = f"rtmp:{address}" if address.startswith("//") else address
    parts = split_network_url(url, _DEFAULT_PORTS)
    if parts is None or not parts.path.strip("/"):
        raise ConfigError("an RTMP address is not usable", "write --sink rtmp://HOST/APPLICATION/KEY")
    if parts.username or parts.password:
        raise ConfigError("an RTMP address holds no password", f"put the stream key into {STREAM_KEY_VARIABLE}")
    if not (key.isprintable() and " " not in key):
        raise ConfigError(f"{STREAM_KEY_VARIABLE} holds what is no stream key", "copy it again")
    whole = f"{url.rstrip('/')}/{key}" if key else url
    # FFmpeg's fifo connects and writes on a thread of its own, which blocks neither the interpreter nor this sink, and
    # lets the protocol have a time limit.
    options = {
        "fifo_format": "flv",
        "format_opts": f"flvflags=no_duration_filesize:rw_timeout={round(_IO_TIMEOUT_S * 1e6)}:flush_packets=1",
        "queue_size": str(_QUEUE_PACKETS),
        "drop_pkts_on_overflow": "1",
        "restart_with_keyframe": "1",
        "max_interleave_delta": str(_MAX_INTERLEAVE_US),
    }
    name = f"{parts.scheme}://{parts.netloc}"
    return StreamTarget(name, str(parts.hostname), parts.port or _DEFAULT_PORTS[parts.scheme], whole, "fifo", options)


def udp_target(address: str) -> StreamTarget:
    """The target for ``HOST:PORT``, with an IPv6 host in brackets. Raises: ConfigError."""
    parts = split_network_url(f"udp://{address.removeprefix('//')}", ("udp",))
    if parts is None or parts.port is None or parts.path.strip("/") or parts.username:
        raise ConfigError("a UDP receiver is a host and a port", "write --sink udp:127.0.0.1:5000")
    # Each picture carries its length; without it a reader has to wait for the next one to know that this one is whole.
    options = {"flush_packets": "1", "pes_payload_size": "0", "omit_video_pes_length": "0"}
    options["max_interleave_delta"] = str(_MAX_INTERLEAVE_US)
    url = f"udp://{parts.netloc}?pkt_size={_DATAGRAM_BYTES}"
    return StreamTarget(f"udp:{parts.netloc}", str(parts.hostname), parts.port, url, "mpegts", options)


class StreamSink:
    """Streams pictures of ``size`` (width, height; others are scaled), and sound when ``audio_rate`` is given.

    ``audio_channels``: 1 or 2. ``bitrate``: bits a second of the picture. ``proof_s``: a first connection that fails
    within so long never worked (the address or the key is wrong); after any later failure the sink connects again, with
    growing waits.
    ``stats`` counts connections ``begun`` and frames ``dropped`` while there was none.
    Raises: SinkError, on entering when the host is unknown, on sending when the first connection is refused.
    """

    def __init__(
        self,
        target: StreamTarget,
        *,
        size: tuple[int, int],
        fps: float,
        bitrate: int,
        audio_rate: int | None = None,
        audio_channels: int = 1,
        proof_s: float = 4.0,
    ) -> None:
        self.stats = StatsCollector()
        options = MuxerOptions(
            fps,
            audio_rate,
            VideoEncoding("libx264", "yuv420p", live_x264_options(bitrate)),
            NO_KEY_FRAMES,
            key_frame_s=_KEY_FRAME_INTERVAL_S,
            bitrate=bitrate,
            global_header=target.format == "fifo",
            audio_channels=audio_channels,
        )
        self._connection = _StreamConnection(target, options, size, self.stats, proof_s)
        self._worker = Worker("stream")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> StreamSink:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await self._worker.run(self._connection.open)
            stack.push_async_callback(self._worker.run, self._connection.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream; takes a few seconds at most when the receiver is gone."""
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Encode and send one frame; while there is no connection it is dropped. Raises: SinkError."""
        await self._worker.run(self._connection.write_frame, frame)


class _StreamConnection:
    """The connection to the receiver, made again after it is lost; all calls come from one thread."""

    def __init__(
        self,
        target: StreamTarget,
        options: MuxerOptions,
        size: tuple[int, int],
        stats: StatsCollector,
        proof_s: float,
    ) -> None:
        self._target = target
        self._options = options
        self._size = size
        self._stats = stats
        self._proof_ns = round(proof_s * NS)
        self._muxer: MediaMuxer | None = None
        self._backoff = ExponentialBackoff()
        self._connected_ns = self._reconnect_ns = 0
        self._proven = False

    def open(self) -> None:
        """Connect and open the encoders; a later ``write_frame`` reports a server's refusal. Raises: SinkError."""
        target = self._target
        container: Any = None
        try:
            socket.getaddrinfo(target.host, target.port)
            container = av.open(target.url, "w", format=target.format, container_options=target.options)
            muxer = MediaMuxer(container, self._options, target.name)
            muxer.open_encoders(self._size)
            container.start_encoding()
        except (OSError, av.error.FFmpegError) as error:
            if container is not None:
                container.close()
            raise _to_sink_error(target, error) from error
        self._muxer, self._connected_ns = muxer, now_ns()
        self._stats.count("begun")

    def write_frame(self, frame: Frame) -> None:
        """Encode and send one frame, or count it as dropped. Raises: SinkError when the first connection is refused."""
        if self._reconnect_ns and isinstance(frame, VideoFrame) and now_ns() >= self._reconnect_ns:
            self._reconnect()
        if self._muxer is None or self._reconnect_ns:
            self._stats.count("dropped")
            return
        try:
            self._muxer.write_frame(frame)
        except (OSError, av.error.FFmpegError) as error:
            self._handle_failure(error)

    def _handle_failure(self, error: OSError | av.error.FFmpegError) -> None:
        lasted_ns = now_ns() - self._connected_ns
        if not self._proven and lasted_ns < self._proof_ns:
            raise _to_sink_error(self._target, error) from error
        self._proven = True
        if lasted_ns > _STEADY_NS:
            self._backoff.reset()
        log.warning("%s takes no more (%s); beginning again", self._target.name, error.strerror)
        self._schedule_reconnect(2 * _IO_TIMEOUT_S if isinstance(error, TimeoutError) else 0.0)

    def _schedule_reconnect(self, min_delay_s: float) -> None:
        # after a stall FFmpeg's thread may still be writing, and closing at once would wait for it
        self._reconnect_ns = now_ns() + round(max(self._backoff.next_delay_s(), min_delay_s) * NS)

    def _reconnect(self) -> None:
        self.close()
        self._reconnect_ns = 0
        try:
            self.open()
        except SinkError as error:
            log.info("%s", error)
            self._schedule_reconnect(0.0)

    def close(self) -> None:
        """End the stream, with its trailer unless the receiver is gone."""
        muxer, self._muxer = self._muxer, None
        if muxer is not None:
            with suppress(OSError, av.error.FFmpegError):
                (muxer.abandon if self._reconnect_ns else muxer.close)()


def _to_sink_error(target: StreamTarget, error: OSError | av.error.FFmpegError) -> SinkError:
    """The error with its remedy, without the system's or FFmpeg's message, which would show the stream key."""
    if isinstance(error, socket.gaierror):
        problem, remedy = "there is no host of that name", "check the address"
    elif isinstance(error, ConnectionRefusedError):
        problem, remedy = "nothing listens there", "start the server, or check the port"
    elif isinstance(error, TimeoutError):
        problem, remedy = f"no answer in {_IO_TIMEOUT_S:.0f} s", "check the address, the network and its firewall"
    elif target.format == "fifo":
        problem = f"it does not take the stream ({error.strerror})"
        remedy = f"check the application in the address and the stream key ({STREAM_KEY_VARIABLE})"
    else:
        problem, remedy = str(error.strerror), "check the address and the network"
    return SinkError(f"cannot stream to {target.name}, {problem}", remedy, subject=target.name)
