"""The way between two peers, which an ICE restart replaces while all that runs on it stays (RFC 8445, section 2.4).

aiortc 1.16 knows no ICE restart: a peer connection has one ICE connection for life. But its DTLS transport asks for no
more than datagrams to come and go, so a second ICE connection can be made beside the first and put in its place once
it works: keys, streams, encoders and jitter buffers notice nothing but a gap.

Everything here touches names that aiortc keeps to itself; ``tests/server/test_route.py`` fails when they change.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aioice import Connection
from aiortc import RTCIceParameters, RTCIceTransport
from aiortc.rtcicetransport import candidate_from_aioice, candidate_to_aioice
from aiortc.sdp import MediaDescription, SessionDescription

from livehead.sinks.ice import NONE, IceServers, gather_quickly

log = logging.getLogger(__name__)

_CHECKS_S = 12.0  # a new way that does not work by then is given up; the old one stays, if it still works


class Route:
    """Of one peer, all of whose media are bundled: ``transport`` is theirs. Make it before the transport starts.

    ``ice``: the servers that a new way is found by.
    """

    def __init__(self, transport: RTCIceTransport, ice: IceServers = NONE) -> None:
        self._ice = ice
        self._transport: Any = transport
        self._current: Connection = self._transport._connection
        self._fresh: Connection | None = None
        self._checking: asyncio.Task[None] | None = None
        self._transport._recv, self._transport._send = self._receive, self._send
        self.changes = 0
        """How often the way was replaced."""

    async def prepare(self) -> None:
        """Take ports for a new way; ``describe`` tells them, ``begin`` goes on. One that was begun before ends."""
        await self._abandon()
        self._fresh = self._ice.connection(ice_controlling=self._current.ice_controlling)
        gather_quickly(self._fresh)
        await self._fresh.gather_candidates()

    def describe(self, sdp: str) -> str:
        """``sdp`` of ours, with the addresses and passwords of the new way in place of those it had."""
        assert self._fresh is not None
        session = SessionDescription.parse(sdp)
        for part in session.media:
            part.ice = RTCIceParameters(self._fresh.local_username, self._fresh.local_password)
            part.ice_candidates = [candidate_from_aioice(each) for each in self._fresh.local_candidates]
            part.ice_candidates_complete = True
            if part.ice_candidates:
                part.host, part.port = part.ice_candidates[0].ip, part.ice_candidates[0].port
        return str(session)

    async def begin(self, remote: MediaDescription) -> None:
        """Look, beside whatever goes on, whether the new way leads to where ``remote`` says, and change to it then."""
        assert self._fresh is not None
        fresh, ice = self._fresh, remote.ice or RTCIceParameters()
        fresh.remote_is_lite = bool(ice.iceLite)
        fresh.remote_username, fresh.remote_password = ice.usernameFragment, ice.password
        for candidate in remote.ice_candidates:
            await fresh.add_remote_candidate(candidate_to_aioice(candidate))
        if remote.ice_candidates_complete:
            await fresh.add_remote_candidate(None)
        self._checking = asyncio.create_task(self._check(fresh))

    async def close(self) -> None:
        """Free what is not in use; the way in use ends with its transport."""
        await self._abandon()

    async def _check(self, fresh: Connection) -> None:
        try:
            async with asyncio.timeout(_CHECKS_S):
                await fresh.connect()
        except (ConnectionError, TimeoutError):
            log.debug("a new way leads nowhere")
            self._fresh = None
            await fresh.close()
            return
        await self._change(fresh)

    async def _change(self, fresh: Connection) -> None:
        transport, old = self._transport, self._current
        self._current, self._fresh = fresh, None
        self.changes += 1
        # it waits for the old connection's end, which would count as the transport's
        transport._RTCIceTransport__monitor_task.cancel()
        transport._connection = transport.iceGatherer._connection = fresh
        transport._RTCIceTransport__monitor_task = asyncio.ensure_future(transport._monitor())
        await old.close()

    async def _abandon(self) -> None:
        checking, self._checking = self._checking, None
        if checking is not None and self._fresh is not None:
            checking.cancel()
        if checking is not None:
            await asyncio.wait([checking])
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            await fresh.close()

    async def _receive(self) -> bytes:
        """The next datagram. Raises: ConnectionError when the way ends and no other takes its place."""
        while True:
            current = self._current
            try:
                return await current.recv()
            except ConnectionError:
                if self._current is current:
                    raise

    async def _send(self, data: bytes) -> None:
        await self._current.send(data)


def goes_on(sdp: str, before: str) -> bool:
    """Whether an offer is of the very connection whose offer was ``before``, and wants a new way: an ICE restart.

    The same session (RFC 8866, section 5.2), the same keys, the same parts, but other ICE passwords.
    """
    new, old = SessionDescription.parse(sdp), SessionDescription.parse(before)
    if _identity(new) != _identity(old):
        return False
    return all(
        _name(each) is not None and _name(each) != _name(was) for each, was in zip(new.media, old.media, strict=True)
    )


def _name(part: MediaDescription) -> str | None:
    return None if part.ice is None else part.ice.usernameFragment


def _identity(session: SessionDescription) -> tuple[object, ...]:
    parts = [(part.kind, part.rtp.muxId, _fingerprints(part)) for part in session.media]
    return (str(session.origin).split()[:2], parts)


def _fingerprints(part: MediaDescription) -> set[tuple[str, str]]:
    if part.dtls is None:
        return set()
    return {(each.algorithm, each.value.upper()) for each in part.dtls.fingerprints}
