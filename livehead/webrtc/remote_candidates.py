"""Which addresses of the other side an ICE connection may send to.

The decision is made about each candidate where it enters the connection, after it was parsed: whatever a description
looks like as text, no other parser reads it after us. Everything here touches names that aiortc and aioice keep to
themselves; ``tests/webrtc/test_remote_candidates.py`` fails when they change.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from aioice import Candidate
from aiortc import RTCRtpTransceiver

MAX_CANDIDATES = 24
"""How many addresses of the other side are tried."""


def patch_transceiver_candidates(transceiver: RTCRtpTransceiver) -> None:
    """Apply ``patch_remote_candidates`` to the ICE connection of a transceiver; called before it has any."""
    patch_remote_candidates(transceiver.receiver.transport.transport.iceGatherer._connection)


def patch_remote_candidates(connection: Any) -> None:
    """Let one ICE connection take the first 24 candidates that name one address and a port that there can be.

    Asking the network for a name of multicast DNS takes a second, and a stranger could make the server ask. A browser
    that hides its addresses behind such names reaches ours, and is answered where it calls from. When no candidate was
    taken, the end of the candidates is not passed on, as the other side may still call.
    """
    add_candidate = connection.add_remote_candidate
    taken: set[tuple[str, int]] = set()

    async def add_if_usable(candidate: Candidate | None) -> None:
        if candidate is None:
            if taken:
                await add_candidate(None)
            return
        place = (candidate.host, candidate.port)
        if place in taken or len(taken) >= MAX_CANDIDATES or not _is_usable(candidate):
            return
        taken.add(place)
        await add_candidate(candidate)

    connection.add_remote_candidate = add_if_usable


def _is_usable(candidate: Candidate) -> bool:
    """Tell whether a candidate names one machine by its address, and a port that there can be.

    Sending to a port that cannot exist would end the socket for all the others.
    """
    try:
        address = ipaddress.ip_address(candidate.host)
    except ValueError:
        return False
    to_many = address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255")
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    return not (to_many or scoped or address.is_unspecified) and 0 < candidate.port < 2**16
