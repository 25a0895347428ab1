"""WHIP in (RFC 9725) and WHEP out: one POST of an offer, one answer, one DELETE.

A stream has a name of the publisher's choosing. Each connection gets an address that nobody guesses, for its DELETE.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiortc.sdp import MediaDescription

from livehead.errors import ProtocolError, SessionError
from livehead.protocol.messages import SettingsUpdate
from livehead.server.access import generate_key
from livehead.server.session import Session
from livehead.server.session_manager import SessionManager
from livehead.webrtc.peer import ALL_KINDS, MediaKind, PeerConnection, parse_media_sections

_STREAM_NAME = re.compile(r"[\w-]{1,64}")
_VOICE_DRIVER = "voice"
_HEARING_DRIVERS = (_VOICE_DRIVER, "face+voice")
_SENDING = ("sendonly", "sendrecv", None)  # sections without a direction send and receive (RFC 8866, section 6.7)


@dataclass(frozen=True, slots=True)
class SdpAnswer:
    """The SDP that answers an offer, and the secret ``resource_id`` whose DELETE ends the connection."""

    sdp: str
    resource_id: str


class WhipWhepStreams:
    """Keeps streams by their names and connections by their resource ids."""

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions
        self._streams: dict[str, Session] = {}
        self._publishers: dict[str, Session] = {}
        self._viewers: dict[str, tuple[Session, PeerConnection]] = {}

    async def publish_stream(self, name: str, offer: str) -> SdpAnswer:
        """Let a camera drive the avatar of stream ``name``, whose session goes on if there is one.

        Where sound comes alone, the voice drives it. The offer is looked at before a session is opened for it, and a
        session that cannot answer it does not stay.
        Raises: ProtocolError, SessionError, and LiveheadError when no avatar can be built.
        """
        if not _STREAM_NAME.fullmatch(name):
            raise ProtocolError("the name of a stream has 1 to 64 letters, digits, dashes and underscores")
        driver = self._choose_driver(parse_media_sections(offer))
        self._prune_ended()
        session = self._streams.get(name)
        if session is None:
            session, answer = await self._open_stream(name, driver, offer)
        else:
            answer = await session.accept_publisher(offer)
            if session.avatar_settings.driver != driver:
                await session.avatar_switcher.update_settings(SettingsUpdate(driver=driver))
        resource_id = generate_key()
        others = {key: kept for key, kept in self._publishers.items() if kept is not session}
        self._publishers = others | {resource_id: session}
        return SdpAnswer(answer, resource_id)

    def _choose_driver(self, parts: Sequence[MediaDescription]) -> str:
        """The driver for what a publisher sends: the server's own, or the voice where there is no picture to see."""
        avatars = self._sessions.avatar_factory
        own = avatars.default_settings().driver
        sent = {part.kind for part in parts if part.direction in _SENDING}
        hears_only = sent == {"audio"} and own not in _HEARING_DRIVERS and _VOICE_DRIVER in avatars.drivers
        return _VOICE_DRIVER if hears_only else own

    async def _open_stream(self, name: str, driver: str, offer: str) -> tuple[Session, str]:
        """Open a session for stream ``name``, moved by ``driver``; gives it and its answer."""
        session = await self._sessions.open_session(driver)
        answered = False
        try:
            answer = await session.accept_publisher(offer)
            answered = True
        finally:
            if not answered:
                session.close("its offer could not be answered")
        self._streams[name] = session
        return session, answer

    async def unpublish_stream(self, resource_id: str) -> bool:
        """End the stream that was published under ``resource_id``; False when there is none."""
        session = self._publishers.pop(resource_id, None)
        if session is not None:
            # at once, as ending takes a moment in which the same name may be published again
            self._streams = {name: kept for name, kept in self._streams.items() if kept is not session}
            session.close("unpublished")
        return session is not None

    async def watch_stream(self, name: str, offer: str, sent_kinds: frozenset[MediaKind] = ALL_KINDS) -> SdpAnswer:
        """Show what ``sent_kinds`` allows of stream ``name`` to a viewer. Raises: ProtocolError, SessionError."""
        self._prune_ended()
        session = self._streams.get(name)
        if session is None:
            raise SessionError("there is no stream of that name", "publish it first", status=404)
        return await self.watch_session(session, offer, sent_kinds)

    async def watch_session(
        self, session: Session, offer: str, sent_kinds: frozenset[MediaKind] = ALL_KINDS
    ) -> SdpAnswer:
        """Show what ``sent_kinds`` allows of ``session`` to a viewer. Raises: ProtocolError, SessionError."""
        self._prune_ended()
        answer, viewer = await session.accept_viewer(offer, sent_kinds=sent_kinds)
        resource_id = generate_key()
        self._viewers[resource_id] = (session, viewer)
        return SdpAnswer(answer, resource_id)

    async def remove_viewer(self, resource_id: str, allowed_session: Session | None = None) -> bool:
        """End a viewer's connection; False when there is none, or it is not one of ``allowed_session``."""
        session, viewer = self._viewers.get(resource_id, (None, None))
        if session is None or viewer is None or (allowed_session is not None and session is not allowed_session):
            return False
        del self._viewers[resource_id]
        await session.connections.remove_viewer(viewer)
        return True

    def _prune_ended(self) -> None:
        """Forget the sessions and viewers that have ended by themselves."""
        running = set(self._sessions)
        self._streams = {name: session for name, session in self._streams.items() if session in running}
        self._publishers = {key: session for key, session in self._publishers.items() if session in running}
        self._viewers = {
            resource_id: (session, viewer)
            for resource_id, (session, viewer) in self._viewers.items()
            if session in running and not viewer.closed.is_set()
        }
