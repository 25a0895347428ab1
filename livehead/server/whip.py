"""WHIP in (RFC 9725) and WHEP out: one POST of an offer, one answer, one DELETE.

A stream has a name of the publisher's choosing. Each connection gets an address that nobody guesses, for its DELETE.
"""

from __future__ import annotations

import re

from livehead.errors import ConfigError, ProtocolError
from livehead.server.access import new_key
from livehead.server.peer import Peer
from livehead.server.session import Session
from livehead.server.sessions import Sessions

_NAME = re.compile(r"[\w-]{1,64}")


class Broadcasts:
    """Streams by name, connections by their addresses."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._streams: dict[str, Session] = {}
        self._published: dict[str, Session] = {}
        self._watched: dict[str, tuple[Session, Peer]] = {}

    async def publish(self, name: str, offer: str) -> tuple[str, str]:
        """Let a camera move the avatar of stream ``name``, which goes on when it was there: the answer, the address.

        Raises: ProtocolError, ConfigError.
        """
        if not _NAME.fullmatch(name):
            raise ProtocolError("the name of a stream has 1 to 64 letters, digits, dashes and underscores")
        self._forget()
        session = self._streams.get(name)
        if session is None:
            session = self._streams[name] = await self._sessions.open()
        answer = await session.perform(offer)
        place = new_key()
        self._published = {key: kept for key, kept in self._published.items() if kept is not session} | {place: session}
        return answer, place

    async def unpublish(self, place: str) -> bool:
        """End the stream of that address; whether there was one."""
        session = self._published.pop(place, None)
        if session is not None:
            # at once, as ending takes a moment in which the same name may be published again
            self._streams = {name: kept for name, kept in self._streams.items() if kept is not session}
            session.close("unpublished")
        return session is not None

    async def watch(self, name: str, offer: str) -> tuple[str, str]:
        """Show stream ``name``: the answer, the address. Raises: ProtocolError, ConfigError."""
        self._forget()
        session = self._streams.get(name)
        if session is None:
            raise ConfigError("there is no stream of that name", "publish it first")
        return await self.watch_session(session, offer)

    async def watch_session(self, session: Session, offer: str) -> tuple[str, str]:
        """Show ``session``: the answer, the address. Raises: ProtocolError, ConfigError."""
        self._forget()
        answer, viewer = await session.watch(offer)
        place = new_key()
        self._watched[place] = (session, viewer)
        return answer, place

    async def leave(self, place: str, shown: Session | None = None) -> bool:
        """End that viewer's connection, if it is one of ``shown`` where that is given; whether there was one."""
        session, viewer = self._watched.get(place, (None, None))
        if session is None or viewer is None or (shown is not None and session is not shown):
            return False
        del self._watched[place]
        await session.connections.leave(viewer)
        return True

    def _forget(self) -> None:
        """What has ended by itself."""
        running = set(self._sessions)
        self._streams = {name: session for name, session in self._streams.items() if session in running}
        self._published = {place: session for place, session in self._published.items() if session in running}
        self._watched = {
            place: (session, viewer)
            for place, (session, viewer) in self._watched.items()
            if session in running and not viewer.closed.is_set()
        }
