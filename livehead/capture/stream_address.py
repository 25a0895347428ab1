"""Addresses of streams that FFmpeg reads (RTSP, MJPEG, HLS, MPEG-TS, RTMP), and what it may do for each of them.

An address is a stranger's as soon as it is one of a playlist: FFmpeg may follow it with the protocols of its own kind
only, never to a file of this machine.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import av.error

from livehead.errors import CaptureError, ConfigError

_HTTP_PROTOCOLS = "http,https,tcp,tls,crypto,httpproxy"
_PROTOCOLS = {
    "http": _HTTP_PROTOCOLS,
    "https": _HTTP_PROTOCOLS,
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,srtp,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
    "udp": "udp",
    "tcp": "tcp",
}
STREAM_SCHEMES = tuple(_PROTOCOLS)
"""The schemes of addresses that can be captured."""

_OPEN_TIMEOUT_S = 8.0
_READ_TIMEOUT_S = 4.0
_PLAYLIST_READ_TIMEOUT_S = 20.0  # a playlist names the next piece only when that is whole, some seconds later
_EXAMPLE = "write url:rtsp://HOST/PATH, url:http://HOST/PATH or url:udp://0.0.0.0:PORT"


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """One stream's address: ``url`` as it is opened, and ``shown`` without what may be secret in it."""

    url: str
    shown: str
    scheme: str
    host: str

    @classmethod
    def parse(cls, text: str) -> StreamAddress:
        """Look at an address without connecting to it. Raises: ConfigError."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ConfigError("the address of a stream is not usable", _EXAMPLE) from None
        if parts.scheme and parts.scheme not in _PROTOCOLS:
            raise ConfigError(f"no stream is read by {parts.scheme}", f"use {', '.join(_PROTOCOLS)}")
        host = parts.hostname or ("0.0.0.0" if parts.scheme == "udp" else "")
        if not host or (parts.scheme in ("udp", "tcp") and port is None) or not text.isprintable() or " " in text:
            raise ConfigError("the address of a stream is not usable", _EXAMPLE)
        return cls(text, redact_address(text), parts.scheme, host)

    @property
    def timeouts_s(self) -> tuple[float, float]:
        """How long opening the stream, and waiting for its next packet, may take."""
        is_playlist = urlsplit(self.url).path.endswith((".m3u8", ".mpd"))
        return _OPEN_TIMEOUT_S, _PLAYLIST_READ_TIMEOUT_S if is_playlist else _READ_TIMEOUT_S

    def ffmpeg_options(self) -> dict[str, str]:
        """Options for FFmpeg: little delay, the protocols that may be used, and no proxy towards this machine."""
        options = {"protocol_whitelist": _PROTOCOLS[self.scheme], "fflags": "nobuffer", "analyzeduration": "1000000"}
        if self.scheme.startswith("rtsp"):
            options |= {"rtsp_flags": "prefer_tcp", "timeout": _microseconds(_OPEN_TIMEOUT_S)}
        elif self.scheme == "udp":
            options |= {"overrun_nonfatal": "1", "fifo_size": "50000", "timeout": _microseconds(_OPEN_TIMEOUT_S)}
        else:
            options["rw_timeout"] = _microseconds(max(self.timeouts_s))
        if _is_loopback(self.host):
            options["http_proxy"] = ""
        return options

    def resolve_host(self) -> None:
        """Ask for the host's address, which FFmpeg would not tell apart from other faults. Raises: CaptureError."""
        try:
            socket.getaddrinfo(self.host, None)
        except OSError as error:
            raise CaptureError(
                f"cannot read {self.shown}, there is no host of that name", "check the address", subject=self.shown
            ) from error

    def open_error(self, error: Exception) -> CaptureError:
        """The error of opening the stream, with its remedy and without FFmpeg's text, which shows the whole address."""
        problem, remedy = _describe_error(error)
        return CaptureError(f"cannot read {self.shown}, {problem}", remedy, subject=self.shown)


def redact_address(url: str) -> str:
    """The address of a stream as it may be shown: without password and query, which may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "..."
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def reason_for_end(error: Exception | None) -> str:
    """Why a stream that was read came to an end, in a few words."""
    if error is None:
        return "it has ended"
    if isinstance(error, (TimeoutError, av.error.ExitError)):
        return "nothing comes any more"
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.ECONNRESET, errno.EPIPE):
        return "the connection broke off"
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()


def _describe_error(error: Exception) -> tuple[str, str]:
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return "it asks for a password", "write url:SCHEME://USER:PASSWORD@HOST/PATH"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "there is nothing at that path", "check the address"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there", "start the stream, or check the port"
    if isinstance(error, (TimeoutError, av.error.ExitError)):
        return f"nothing came in {_OPEN_TIMEOUT_S:.0f} s", "start the stream, or check the address and the firewall"
    if isinstance(error, av.error.InvalidDataError):
        return "it is no picture or sound that FFmpeg can read", "check the address; a web page is no stream"
    return f"it cannot be opened ({getattr(error, 'strerror', None) or error})", "check the address and the network"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _microseconds(seconds: float) -> str:
    return str(round(seconds * 1e6))
