"""Opens the socket that a server listens on."""

from __future__ import annotations

import errno
import socket
import sys

from livehead.errors import ConfigError

_BACKLOG = 1024  # clients that wait to be accepted; the system may allow less


def open_listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port``. Raises: ConfigError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"there is no address {host} here", "give --host an address of this machine") from error
    if sys.platform == "win32":  # where SO_REUSEADDR would let any other program take the port over
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)  # a client that connects before the server answers waits instead of being refused
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is in use", "give another --port, or 0 for a free one") from error
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror})", "give another --host or --port"
        ) from error
    return listening


def require_free_port(host: str, port: int) -> None:
    """Check that a server can listen on ``host`` and ``port``. Raises: ConfigError."""
    open_listening_socket(host, port).close()
