"""Counts the connections of a server and decides which one gives way to a new one; this module does no I/O.

Whoever has not shown a right key or token is a stranger. Strangers can neither use up the files that calls need nor
keep anybody out: where there is no room, the oldest stranger's connection ends, and the new one is taken.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

_MAX_CONNECTIONS = 1024
_MAX_STRANGERS = 192
_MAX_STRANGERS_OF_ADDRESS = 64
_FEW_OF_NETWORK = 8  # a browser that opens a studio has six at a time
_IPV6_PREFIX = 64  # bits that one customer's addresses have in common (RFC 6177)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a server has at a time, how many of them strangers', and how many of one address."""

    connections: int = _MAX_CONNECTIONS
    strangers: int = _MAX_STRANGERS
    strangers_of_address: int | None = _MAX_STRANGERS_OF_ADDRESS
    """None where all clients come from one address, a proxy's; loopback addresses are never limited by it."""
    viewers: int = _MAX_CONNECTIONS // 2
    """How many have shown the key of a viewer, whose link may be known to many."""

    @classmethod
    def for_files(cls, files: int, *, behind_proxy: bool = False) -> ConnectionLimits:
        """The limits for a process that may open so many ``files``: the other half of them is for calls."""
        connections = max(min(_MAX_CONNECTIONS, files // 2), 2)
        of_address = None if behind_proxy else _MAX_STRANGERS_OF_ADDRESS
        strangers = min(_MAX_STRANGERS, connections * 3 // 4)
        return cls(connections, strangers, of_address, viewers=max((connections - strangers) * 3 // 4, 1))


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """How many seconds each part of a connection may take; when they are over, it ends at once."""

    handshake_s: float = 10.0
    """The TLS handshake."""
    idle_s: float = 10.0
    """Until the next request begins, on a connection that has been answered one."""
    request_s: float = 10.0
    """The head of a request from its first byte on; of the first request, from the connection's beginning on."""
    body_s: float = 30.0
    """The body of a request."""
    refused_body_s: float = 5.0
    """What is left of a body when its request has been answered already."""
    answer_s: float = 30.0
    """The answer to a stranger."""
    hello_s: float = 10.0
    """A WebSocket until the other side has shown a right key or token."""
    unread_s: float = 20.0
    """What has been sent, until the other side takes it (a stranger all of it, others some of it)."""
    close_s: float = 5.0
    """The closing of a connection."""


class TrackedConnection(Protocol):
    """A connection as the table sees it."""

    network: str
    """The address that it comes from, as ``network_of`` gives it."""

    @property
    def is_busy(self) -> bool:
        """Tells whether a whole request has come and is dealt with, so that others give way first."""

    def abort(self) -> None:
        """End it at once."""


class ConnectionTable:
    """Keeps all connections of a server within ``limits``."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.dropped_count = 0
        """How many connections have had to give way so far, or were not taken."""
        self._limits = limits
        self._strangers: dict[TrackedConnection, None] = {}  # the oldest first
        self._stranger_counts: Counter[str] = Counter()
        self._trusted: dict[TrackedConnection, None] = {}
        self._viewers: set[TrackedConnection] = (
            set()
        )  # those of the trusted that have shown no more than a viewer's key

    def __iter__(self) -> Iterator[TrackedConnection]:
        return iter([*self._strangers, *self._trusted])

    def __len__(self) -> int:
        return len(self._strangers) + len(self._trusted)

    @property
    def stranger_count(self) -> int:
        """How many of the connections are strangers'."""
        return len(self._strangers)

    def admit(self, connection: TrackedConnection) -> bool:
        """Take a stranger's new connection, for which another one may end. False: there is no room, it has to go."""
        of_address = self._limits.strangers_of_address
        limited = of_address is not None and connection.network != _LOOPBACK
        if limited and self._stranger_counts[connection.network] >= (of_address or 0):
            self._drop_oldest([each for each in self._strangers if each.network == connection.network])
        elif len(self._strangers) >= self._limits.strangers or len(self) >= self._limits.connections:
            if not self._strangers:
                self.dropped_count += 1
                return False
            self._make_room()
        self._add_stranger(connection)
        return True

    def trust(self, connection: TrackedConnection, *, viewer: bool = False) -> bool:
        """Note that ``connection`` has shown a right key or token: it gives way to nobody.

        With the key of a ``viewer`` it stays a stranger (False) where there are as many viewers as there may be: their
        link may be known to many, and they must not take the places of whoever has the token.
        """
        if connection not in self._strangers or (viewer and len(self._viewers) >= self._limits.viewers):
            return connection in self._trusted
        self._remove_stranger(connection)
        self._trusted[connection] = None
        if viewer:
            self._viewers.add(connection)
        return True

    def distrust(self, connection: TrackedConnection) -> None:
        """Note that ``connection`` has to show a key again, as whoever sends its next request may be another."""
        if connection in self._trusted:
            del self._trusted[connection]
            self._viewers.discard(connection)
            if len(self._strangers) >= self._limits.strangers:
                self._make_room()
            self._add_stranger(connection)

    def remove(self, connection: TrackedConnection) -> None:
        """Forget a connection that has ended, or that is not known."""
        self._trusted.pop(connection, None)
        self._viewers.discard(connection)
        if connection in self._strangers:
            self._remove_stranger(connection)

    def _add_stranger(self, connection: TrackedConnection) -> None:
        self._strangers[connection] = None
        self._stranger_counts[connection.network] += 1

    def _remove_stranger(self, connection: TrackedConnection) -> None:
        del self._strangers[connection]
        self._stranger_counts[connection.network] -= 1
        if not self._stranger_counts[connection.network]:
            del self._stranger_counts[connection.network]

    def _make_room(self) -> None:
        """End a stranger's connection: of the network with most of them or, where each has few, of all.

        Whoever has many networks must not push out a browser, which opens some connections at a time from one.
        """
        network, count = self._stranger_counts.most_common(1)[0]
        crowded = count > _FEW_OF_NETWORK
        self._drop_oldest([each for each in self._strangers if not crowded or each.network == network])

    def _drop_oldest(self, strangers: Sequence[TrackedConnection]) -> None:
        """End the oldest of ``strangers``, one without a whole request if there is one."""
        oldest = next((each for each in strangers if not each.is_busy), strangers[0])
        self.dropped_count += 1
        self._remove_stranger(oldest)
        oldest.abort()


def network_of(address: str) -> str:
    """The part of an IP address that stands for one client: of IPv6 its /64; all loopback addresses are one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif not parsed.is_loopback:
            return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return _LOOPBACK if parsed.is_loopback else str(parsed)


_LOOPBACK = "loopback"
