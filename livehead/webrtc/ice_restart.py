"""The path between two peers, which an ICE restart replaces while all that runs on it stays (RFC 8445, section 2.4).

aiortc 1.16 knows no ICE restart: a peer connection has one ICE connection for life. But its DTLS transport asks for no
more than datagrams to come and go, so a second ICE connection can be made beside the first and put in its place once
it works: keys, streams, encoders and jitter buffers notice nothing but a gap.

Everything here touches names that aiortc keeps to itself; ``tests/webrtc/test_ice_restart.py`` fails when they change.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aioice import Connection
from aiortc import RTCIceParameters, RTCIceTransport
from aiortc.rtcicetransport import candidate_from_aioice, candidate_to_aioice
from aiortc.sdp import MediaDescription, SessionDescription

from livehead.webrtc.ice import NO_ICE_SERVERS, IceServers, patch_candidate_gathering

log = logging.getLogger(__name__)

_CHECK_TIMEOUT_S = 12.0  # a new path that does not work by then is given up; the old one stays, if it still works


class RestartableIce:
    """Replaces the ICE connection under the ``transport`` of one peer, whose media are all bundled on it.

    It is made before the transport starts. ``ice`` names the STUN and TURN servers that a new path may use.
    """

    def __init__(self, transport: RTCIceTransport, ice: IceServers = NO_ICE_SERVERS) -> None:
        self._ice = ice
        self._transport: Any = transport
        self._active: Connection = self._transport._connection
        self._pending: Connection | None = None
        self._check_task: asyncio.Task[None] | None = None
        self._transport._recv, self._transport._send = self._receive, self._send
        self.restart_count = 0
        """How often the path was replaced."""

    async def gather_candidates(self) -> None:
        """Open ports for a new path, and end one that was still being checked.

        ``rewrite_sdp`` then describes the new path, and ``start_checks`` tries it.
        """
        await self._discard_pending()
        self._pending = self._ice.create_connection(ice_controlling=self._active.ice_controlling)
        patch_candidate_gathering(self._pending)
        await self._pending.gather_candidates()

    def rewrite_sdp(self, sdp: str) -> str:
        """Our own ``sdp`` with the addresses and passwords of the new path in place of those it had."""
        assert self._pending is not None
        session = SessionDescription.parse(sdp)
        for part in session.media:
            part.ice = RTCIceParameters(self._pending.local_username, self._pending.local_password)
            part.ice_candidates = [candidate_from_aioice(each) for each in self._pending.local_candidates]
            part.ice_candidates_complete = True
            if part.ice_candidates:
                part.host, part.port = part.ice_candidates[0].ip, part.ice_candidates[0].port
        return str(session)

    async def start_checks(self, remote: MediaDescription) -> None:
        """Try in the background whether the new path reaches the addresses of ``remote``; if so, switch to it."""
        assert self._pending is not None
        fresh, ice = self._pending, remote.ice or RTCIceParameters()
        fresh.remote_is_lite = bool(ice.iceLite)
        fresh.remote_username, fresh.remote_password = ice.usernameFragment, ice.password
        for candidate in remote.ice_candidates:
            await fresh.add_remote_candidate(candidate_to_aioice(candidate))
        if remote.ice_candidates_complete:
            await fresh.add_remote_candidate(None)
        self._check_task = asyncio.create_task(self._connect_pending(fresh))

    async def close(self) -> None:
        """Free the path that is not in use; the one in use ends with its transport."""
        await self._discard_pending()

    async def _connect_pending(self, pending: Connection) -> None:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                await pending.connect()
        except (ConnectionError, TimeoutError):
            log.debug("a new path does not reach the other side")
            self._pending = None
            await pending.close()
            return
        await self._switch_to(pending)

    async def _switch_to(self, pending: Connection) -> None:
        transport, old = self._transport, self._active
        self._active, self._pending = pending, None
        self.restart_count += 1
        # it waits for the old connection's end, which would count as the transport's
        transport._RTCIceTransport__monitor_task.cancel()
        transport._connection = transport.iceGatherer._connection = pending
        transport._RTCIceTransport__monitor_task = asyncio.ensure_future(transport._monitor())
        await old.close()

    async def _discard_pending(self) -> None:
        checking, self._check_task = self._check_task, None
        if checking is not None and self._pending is not None:
            checking.cancel()
        if checking is not None:
            await asyncio.wait([checking])
        fresh, self._pending = self._pending, None
        if fresh is not None:
            await fresh.close()

    async def _receive(self) -> bytes:
        """The next datagram. Raises: ConnectionError when the path ends and no other takes its place."""
        while True:
            current = self._active
            try:
                return await current.recv()
            except ConnectionError:
                if self._active is current:
                    raise

    async def _send(self, data: bytes) -> None:
        await self._active.send(data)


def is_ice_restart(sdp: str, previous_sdp: str) -> bool:
    """Tell whether an offer belongs to the connection that ``previous_sdp`` offered, and asks for an ICE restart.

    It then has the same session (RFC 8866, section 5.2), the same keys and sections, but other ICE passwords.
    """
    new, old = SessionDescription.parse(sdp), SessionDescription.parse(previous_sdp)
    if _session_identity(new) != _session_identity(old):
        return False
    return all(
        _ice_username(each) is not None and _ice_username(each) != _ice_username(was)
        for each, was in zip(new.media, old.media, strict=True)
    )


def _ice_username(part: MediaDescription) -> str | None:
    return None if part.ice is None else part.ice.usernameFragment


def _session_identity(session: SessionDescription) -> tuple[object, ...]:
    parts = [(part.kind, part.rtp.muxId, _fingerprints(part)) for part in session.media]
    return (str(session.origin).split()[:2], parts)


def _fingerprints(part: MediaDescription) -> set[tuple[str, str]]:
    if part.dtls is None:
        return set()
    return {(each.algorithm, each.value.upper()) for each in part.dtls.fingerprints}
