"""The connections of a session: one performer, and viewers who get pictures or draw them from the motion they get."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from livehead.concurrency import Latest
from livehead.errors import SessionError
from livehead.interfaces import Motion
from livehead.motion.keypoints import Keypoints
from livehead.server.event_log import log_event
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.ice import NO_ICE_SERVERS, IceServers
from livehead.webrtc.peer import MediaKind, PeerConnection, PeerState
from livehead.webrtc.remote_tracks import RemoteAudioCapture, RemoteVideoCapture


class SessionConnections:
    """The connections of session ``number``: the performer's tracks go to ``camera`` and ``microphone``.

    Performer and viewers get what ``broadcast`` encodes. At most ``max_viewers`` watch at a time. ``ice`` names the
    STUN and TURN servers for all connections.
    """

    def __init__(
        self,
        number: int,
        broadcast: BroadcastSink,
        camera: RemoteVideoCapture,
        microphone: RemoteAudioCapture,
        *,
        max_viewers: int,
        ice: IceServers = NO_ICE_SERVERS,
    ) -> None:
        self.publisher: PeerConnection | None = None
        self._number = number
        self._broadcast = broadcast
        self._camera = camera
        self._microphone = microphone
        self._max_viewers = max_viewers
        self._ice = ice
        self._viewers: set[PeerConnection] = set()
        # replaced and never changed, as another thread reads it
        self._motion_subscribers: tuple[Latest[Keypoints | None], ...] = ()

    @property
    def viewer_count(self) -> int:
        """How many viewers get pictures or motion."""
        return len(self._viewers) + len(self._motion_subscribers)

    @property
    def in_use(self) -> bool:
        """Tells whether anybody is connected, or about to be."""
        has_publisher = self.publisher is not None and self.publisher.state in ("new", "connecting", "connected")
        return has_publisher or self.viewer_count > 0

    @property
    def connected(self) -> bool:
        """Tells whether anybody gets pictures or motion, or sends any."""
        peers = (self.publisher, *self._viewers)
        return bool(self._motion_subscribers) or any(peer is not None and peer.state == "connected" for peer in peers)

    async def accept_publisher(self, offer: str, on_state: Callable[[PeerState], None]) -> str:
        """Answer the performer's offer with SDP: an ICE restart, or a new connection, which ends the one before.

        Raises: ProtocolError.
        """
        if self.publisher is not None and self.publisher.wants_ice_restart(offer):
            log_event("restart", session=self._number, role="performer")
            return await self.publisher.restart_ice(offer)

        def on_change(state: PeerState) -> None:
            log_event("peer", session=self._number, role="performer", state=state)
            on_state(state)

        peer = PeerConnection(self._broadcast, self._camera, self._microphone, ice=self._ice, on_state=on_change)
        answer = await self._answer_or_close(peer, offer)  # one that cannot be answered leaves the one before as it is
        before, self.publisher = self.publisher, peer
        if before is not None:
            await before.close()
        return answer

    async def accept_viewer(
        self, offer: str, *, transparent: bool, sent_kinds: frozenset[MediaKind]
    ) -> tuple[str, PeerConnection]:
        """Answer a viewer's offer. Raises: ProtocolError, SessionError when there are too many viewers."""
        self._require_viewer_slot()
        viewer: PeerConnection

        def on_change(state: PeerState) -> None:
            log_event("peer", session=self._number, role="viewer", state=state)
            if state in ("failed", "closed"):
                self._viewers.discard(viewer)

        viewer = PeerConnection(
            self._broadcast, sent_kinds=sent_kinds, with_alpha=transparent, ice=self._ice, on_state=on_change
        )
        self._viewers.add(viewer)
        return await self._answer_or_close(viewer, offer), viewer

    @contextmanager
    def subscribe_motion(self) -> Iterator[Latest[Keypoints | None]]:
        """Give the performer's motion to a viewer who draws the avatar; None marks the end of the session.

        Raises: SessionError when there are too many viewers.
        """
        self._require_viewer_slot()
        motions: Latest[Keypoints | None] = Latest()
        self._motion_subscribers = (*self._motion_subscribers, motions)
        log_event("follower", session=self._number, state="connected")
        try:
            yield motions
        finally:
            self._motion_subscribers = tuple(each for each in self._motion_subscribers if each is not motions)
            log_event("follower", session=self._number, state="closed")

    def publish_motion(self, motion: Motion) -> None:
        """Give ``motion`` to every viewer who subscribed to it; callable from any thread."""
        if isinstance(motion, Keypoints):
            for motions in self._motion_subscribers:
                motions.put(motion)

    def _require_viewer_slot(self) -> None:
        if self.viewer_count >= self._max_viewers:
            raise SessionError("there are as many viewers as this server lets in", "try again later", status=503)

    async def remove_viewer(self, viewer: PeerConnection) -> None:
        """End a viewer's connection."""
        self._viewers.discard(viewer)
        await viewer.close()

    async def _answer_or_close(self, peer: PeerConnection, offer: str) -> str:
        answered = False
        try:
            answer = await peer.create_answer(offer)
            answered = True
        finally:
            if not answered:
                self._viewers.discard(peer)
                await peer.close()
        return answer

    async def close(self) -> None:
        """End all connections."""
        for motions in self._motion_subscribers:
            motions.put(None)
        peers = (self.publisher, *self._viewers)
        await asyncio.gather(*(peer.close() for peer in peers if peer is not None))
