"""WHIP in (RFC 9725) and WHEP out: one POST of an offer, one answer, one DELETE.

A stream has a name of the publisher's choosing. Each connection gets an address that nobody guesses, for its DELETE.
"""

from __future__ import annotations

import re

from livehead.errors import ConfigError, ProtocolError
from livehead.server.access import generate_key
from livehead.server.session import Session
from livehead.server.session_manager import SessionManager
from livehead.webrtc.peer import PeerConnection

_STREAM_NAME = re.compile(r"[\w-]{1,64}")


class WhipWhepStreams:
    """Streams by name, connections by their addresses."""

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions
        self._streams: dict[str, Session] = {}
        self._publishers: dict[str, Session] = {}
        self._viewers: dict[str, tuple[Session, PeerConnection]] = {}

    async def publish_stream(self, name: str, offer: str) -> tuple[str, str]:
        """Let a camera move the avatar of stream ``name``, which goes on when it was there: the answer, the address.

        Raises: ProtocolError, ConfigError.
        """
        if not _STREAM_NAME.fullmatch(name):
            raise ProtocolError("the name of a stream has 1 to 64 letters, digits, dashes and underscores")
        self._prune_ended()
        session = self._streams.get(name)
        if session is None:
            session = self._streams[name] = await self._sessions.open_session()
        answer = await session.accept_publisher(offer)
        place = generate_key()
        self._publishers = {key: kept for key, kept in self._publishers.items() if kept is not session} | {
            place: session
        }
        return answer, place

    async def unpublish_stream(self, resource_id: str) -> bool:
        """End the stream of that address; whether there was one."""
        session = self._publishers.pop(resource_id, None)
        if session is not None:
            # at once, as ending takes a moment in which the same name may be published again
            self._streams = {name: kept for name, kept in self._streams.items() if kept is not session}
            session.close("unpublished")
        return session is not None

    async def watch_stream(self, name: str, offer: str) -> tuple[str, str]:
        """Show stream ``name``: the answer, the address. Raises: ProtocolError, ConfigError."""
        self._prune_ended()
        session = self._streams.get(name)
        if session is None:
            raise ConfigError("there is no stream of that name", "publish it first")
        return await self.watch_session(session, offer)

    async def watch_session(self, session: Session, offer: str) -> tuple[str, str]:
        """Show ``session``: the answer, the address. Raises: ProtocolError, ConfigError."""
        self._prune_ended()
        answer, viewer = await session.accept_viewer(offer)
        place = generate_key()
        self._viewers[place] = (session, viewer)
        return answer, place

    async def remove_viewer(self, resource_id: str, allowed_session: Session | None = None) -> bool:
        """End that viewer's connection, if it is one of ``shown`` where that is given; whether there was one."""
        session, viewer = self._viewers.get(resource_id, (None, None))
        if session is None or viewer is None or (allowed_session is not None and session is not allowed_session):
            return False
        del self._viewers[resource_id]
        await session.connections.remove_viewer(viewer)
        return True

    def _prune_ended(self) -> None:
        """What has ended by itself."""
        running = set(self._sessions)
        self._streams = {name: session for name, session in self._streams.items() if session in running}
        self._publishers = {place: session for place, session in self._publishers.items() if session in running}
        self._viewers = {
            place: (session, viewer)
            for place, (session, viewer) in self._viewers.items()
            if session in running and not viewer.closed.is_set()
        }
