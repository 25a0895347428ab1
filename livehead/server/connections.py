"""Who is connected to a session: one performer, any number of viewers, those among them who draw by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from livehead.capture.webrtc import PeerCamera, PeerMicrophone
from livehead.concurrency import Latest
from livehead.errors import ConfigError
from livehead.interfaces import Motion
from livehead.motion.keypoints import Keypoints
from livehead.server.journal import tell
from livehead.server.peer import Peer, State
from livehead.sinks.ice import NONE, IceServers
from livehead.sinks.webrtc import Broadcast


class Connections:
    """Of session ``number``: the performer's feeds ``camera`` and ``microphone``, all get the ``broadcast``.

    ``most``: viewers at a time. ``ice``: the servers that all find their ways by.
    """

    def __init__(
        self,
        number: int,
        broadcast: Broadcast,
        camera: PeerCamera,
        microphone: PeerMicrophone,
        *,
        most: int,
        ice: IceServers = NONE,
    ) -> None:
        self.performer: Peer | None = None
        self._number = number
        self._broadcast = broadcast
        self._camera = camera
        self._microphone = microphone
        self._most = most
        self._ice = ice
        self._viewers: set[Peer] = set()
        self._followers: tuple[Latest[Keypoints | None], ...] = ()  # replaced, not changed: another thread reads it

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers) + len(self._followers)

    @property
    def used(self) -> bool:
        """Whether anybody is connected, or about to be."""
        performs = self.performer is not None and self.performer.state in ("new", "connecting", "connected")
        return performs or self.viewers > 0

    async def perform(self, offer: str, on_state: Callable[[State], None]) -> str:
        """Answer the performer's offer: an ICE restart, or else a new connection, which ends the one before.

        Raises: ProtocolError.
        """
        if self.performer is not None and self.performer.goes_on_by(offer):
            tell("restart", session=self._number, role="performer")
            return await self.performer.restart(offer)

        def changed(state: State) -> None:
            tell("peer", session=self._number, role="performer", state=state)
            on_state(state)

        peer = Peer(self._broadcast, self._camera, self._microphone, ice=self._ice, on_state=changed)
        before, self.performer = self.performer, peer
        if before is not None:
            await before.close()
        return await self._answered(peer, offer)

    async def watch(self, offer: str, *, transparent: bool) -> tuple[str, Peer]:
        """Answer a viewer's offer. Raises: ProtocolError, ConfigError when there are too many viewers."""
        self._require_room()
        viewer: Peer

        def changed(state: State) -> None:
            tell("peer", session=self._number, role="viewer", state=state)
            if state in ("failed", "closed"):
                self._viewers.discard(viewer)

        viewer = Peer(self._broadcast, matte=transparent, ice=self._ice, on_state=changed)
        self._viewers.add(viewer)
        return await self._answered(viewer, offer), viewer

    @contextmanager
    def follow(self) -> Iterator[Latest[Keypoints | None]]:
        """The performer's motion for a viewer who draws, None when the session ends.

        Raises: ConfigError when there are too many viewers.
        """
        self._require_room()
        motions: Latest[Keypoints | None] = Latest()
        self._followers = (*self._followers, motions)
        tell("follower", session=self._number, state="connected")
        try:
            yield motions
        finally:
            self._followers = tuple(each for each in self._followers if each is not motions)
            tell("follower", session=self._number, state="closed")

    def move(self, motion: Motion) -> None:
        """Give ``motion`` to whoever follows; callable from any thread."""
        if isinstance(motion, Keypoints):
            for motions in self._followers:
                motions.put(motion)

    def _require_room(self) -> None:
        if self.viewers >= self._most:
            raise ConfigError("there are as many viewers as this server lets in", "try again later")

    async def leave(self, viewer: Peer) -> None:
        """End a viewer's connection."""
        self._viewers.discard(viewer)
        await viewer.close()

    async def _answered(self, peer: Peer, offer: str) -> str:
        answered = False
        try:
            answer = await peer.answer(offer)
            answered = True
        finally:
            if not answered:
                self._viewers.discard(peer)
                await peer.close()
        return answer

    async def close(self) -> None:
        """End them all."""
        for motions in self._followers:
            motions.put(None)
        peers = (self.performer, *self._viewers)
        await asyncio.gather(*(peer.close() for peer in peers if peer is not None))
