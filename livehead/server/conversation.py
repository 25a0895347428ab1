"""One page's WebSocket: reads its messages, does what they ask, tells it how things stand."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from livehead.clock import now_ns
from livehead.errors import ConfigError, LiveheadError, ProtocolError
from livehead.motion.wire import MotionWriter
from livehead.server import protocol
from livehead.server.access import Access, Rate
from livehead.server.decoding import MOST_BYTES
from livehead.server.journal import Refusals
from livehead.server.motion_feed import MotionFeed
from livehead.server.peer import Peer, State
from livehead.server.session import Session, chosen
from livehead.server.sessions import Sessions
from livehead.sinks.ice import IceServers

log = logging.getLogger(__name__)

_HELLO_S = 5.0
_FIGURES_S = 1.0
_MESSAGES, _PERIOD_S = 60, 2.0  # of one page; a slider that is dragged sends about 20 a second
_PACKETS = 240  # of motion in that time
_JOBS = 64  # changes that may wait
_PATIENCE = 20  # messages that are refused until the connection is ended
CLOSED_REFUSED, CLOSED_ENDED = 4403, 4410
_DONE, _BROKEN = 1000, 1011  # RFC 6455, section 7.4.1


class Conversation:
    """From ``hello`` to the end of the connection."""

    def __init__(
        self,
        socket: WebSocket,
        sessions: Sessions,
        access: Access,
        strangers: Rate,
        consent: str,
        *,
        refusals: Refusals,
    ) -> None:
        self._socket = socket
        self._sessions = sessions
        self._access = access
        self._strangers = strangers
        self._consent = consent
        self._refusals = refusals
        self._address = socket.client.host if socket.client else ""
        self._rate = Rate(_MESSAGES, _PERIOD_S)
        self._packet_rate = Rate(_PACKETS, _PERIOD_S)
        self._feed: MotionFeed | None = None
        self._viewer: Peer | None = None
        self._following: asyncio.Task[None] | None = None
        self._transparent = False
        self._news = asyncio.Event()
        self._jobs: asyncio.Queue[protocol.FromPage] = asyncio.Queue(_JOBS)

    async def run(self) -> None:
        """Until either side ends it."""
        await self._socket.accept()
        try:
            async with asyncio.timeout(_HELLO_S):
                first = await self._socket.receive_text()
        except (TimeoutError, WebSocketDisconnect, KeyError):
            await self._end(CLOSED_REFUSED)
            return
        try:
            hello = protocol.decode(first)
            if not isinstance(hello, protocol.Hello):
                raise ProtocolError("the first message has to be hello", "reload the page")
            session = await self._enter(hello)
            self._transparent = hello.transparent
        except LiveheadError as error:
            self._refusals.tell(self._address, "hello", error)
            await self._tell(protocol.problem(error, fatal=True))
            await self._end(CLOSED_REFUSED)
            return
        notify, code = self._news.set, _BROKEN
        try:
            if hello.role == "viewer":
                await self._listen(session, viewer=True)
            else:
                session.on_change = notify
                self._news.set()
                async with asyncio.TaskGroup() as group:
                    telling = [
                        group.create_task(self._tell_state(session)),
                        group.create_task(self._tell_figures(session)),
                        group.create_task(self._leave_with(session)),
                        group.create_task(self._work(session)),
                    ]
                    await self._listen(session, viewer=False)
                    for task in telling:
                        task.cancel()
            code = _DONE
        finally:
            if session.on_change is notify:  # not of a page that came later
                session.on_change = lambda: None
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait([self._following])
            if self._viewer is not None:
                await session.connections.leave(self._viewer)
            await self._end(code)

    async def _enter(self, hello: protocol.Hello) -> Session:
        """The session that ``hello`` asks for, welcomed. Raises: ConfigError."""
        if hello.role == "viewer":
            session = self._sessions.by_viewer_key(hello.key)
            if session is None:
                self._strangers.allows(self._address, now_ns())
                raise ConfigError("there is nobody to watch under this link", "ask for a new one")
            await self._tell(protocol.Welcome(**_ways(self._sessions.ice)))
            return session
        session = self._sessions.by_key(hello.key) if hello.key else None
        if session is None:
            # Only those who come with a token wait: keys cannot be guessed, and a call must not be locked out.
            if self._access.token and self._strangers.exhausted(self._address, now_ns()):
                raise ConfigError("there were too many wrong keys from this address", "wait a minute")
            if not self._access.token_right(hello.token):
                self._strangers.allows(self._address, now_ns())
                raise ConfigError("the token is wrong", "open the link that livehead serve printed")
            session = await self._sessions.open()
        troupe = self._sessions.troupe
        await self._tell(
            protocol.Welcome(
                key=session.key,
                viewer_key=session.viewer_key,
                drivers=troupe.drivers,
                models=troupe.models,
                chosen=chosen(session.choice),
                most_upload_bytes=MOST_BYTES,
                consent=self._consent,
                **_ways(self._sessions.ice),
            )
        )
        return session

    async def _listen(self, session: Session, *, viewer: bool) -> None:
        refused = 0
        while refused < _PATIENCE:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text, packet = received.get("text"), received.get("bytes")
            try:
                if text is None:
                    self._take_packet(packet or b"")
                    continue
                if not self._rate.allows(self._address, now_ns()):
                    raise ProtocolError("there are too many messages at once", "slow down")
                message = protocol.decode(text)
                if isinstance(message, protocol.Bye):
                    if not viewer:
                        session.close("the page left")
                    return
                await (self._serve_viewer(session, message) if viewer else self._serve(session, message))
            except LiveheadError as error:
                refused += isinstance(error, ProtocolError)
                self._refusals.tell(self._address, "message", error)
                await self._tell(protocol.problem(error))

    def _take_packet(self, packet: bytes) -> None:
        """Of motion; those that come too fast are dropped, as the newest counts. Raises: ProtocolError."""
        if self._feed is None:
            raise ProtocolError("a binary message has no place here", "send motion first")
        if self._packet_rate.allows(self._address, now_ns()):
            self._feed.take(packet)

    async def _serve_viewer(self, session: Session, message: protocol.FromPage) -> None:
        if isinstance(message, protocol.Follow):
            if self._following is not None and not self._following.done():
                raise ProtocolError("this viewer follows already")
            self._following = asyncio.create_task(self._follow(session))
            return
        if not isinstance(message, protocol.Offer):
            raise ProtocolError("a viewer can only watch")
        if self._viewer is not None and self._viewer.goes_on_by(message.sdp):
            await self._tell(protocol.Answer(sdp=await self._viewer.restart(message.sdp)))
            return
        if self._viewer is not None:
            await session.connections.leave(self._viewer)
        answer, self._viewer = await session.watch(message.sdp, transparent=self._transparent)
        await self._tell(protocol.Answer(sdp=answer))

    async def _follow(self, session: Session) -> None:
        """Send the performer's motion until the session ends."""
        try:
            with session.connections.follow() as motions:
                writer: MotionWriter | None = None
                while (motion := await motions.get()) is not None:
                    if writer is None or not writer.takes(motion):
                        writer = MotionWriter(motion, session.fps)
                        await self._tell(protocol.Opening(opening=writer.opening.pack().hex()))
                    await self._send(writer.packet(motion))
            await self._end(CLOSED_ENDED)
        except LiveheadError as error:
            await self._tell(protocol.problem(error))

    async def _serve(self, session: Session, message: protocol.FromPage) -> None:
        match message:
            case protocol.Offer():
                await self._tell(protocol.Answer(sdp=await session.perform(message.sdp, self._on_peer)))
            case protocol.Settings() | protocol.Record() | protocol.Motion():
                if self._jobs.full():
                    raise ProtocolError("there are too many changes at once", "wait a moment")
                if isinstance(message, protocol.Motion):  # its packets follow at once
                    self._feed = session.feed(bytes.fromhex(message.opening))
                self._jobs.put_nowait(message)
            case protocol.Calibrate():
                session.recalibrate()
            case protocol.Freeze():
                session.freeze(message.on)
            case protocol.Playout():
                session.set_playout(message.sound_later_ms)
            case _:
                raise ProtocolError("this message has no place here")

    async def _work(self, session: Session) -> None:
        """Do what takes its time, in order, beside the conversation: the panic key does not wait for a new avatar."""
        while True:
            message = await self._jobs.get()
            try:
                if isinstance(message, protocol.Settings):
                    await session.set(message)
                elif isinstance(message, protocol.Motion) and self._feed is not None:
                    await session.take_motion(self._feed)
                elif isinstance(message, protocol.Record):
                    await self._record(session, message.on)
            except LiveheadError as error:
                await self._tell(protocol.problem(error))

    async def _record(self, session: Session, on: bool) -> None:
        await session.record(on)
        recorder = session.recorder
        if not on and recorder.finished is not None:
            size = recorder.finished.stat().st_size
            await self._tell(protocol.Recorded(seconds=round(recorder.seconds, 1), size=size))

    def _on_peer(self, state: State) -> None:
        self._news.set()

    async def _tell_state(self, session: Session) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._tell(session.state())
            if session.trouble is not None:
                await self._tell(protocol.problem(session.trouble))
                session.trouble = None

    async def _tell_figures(self, session: Session) -> None:
        while True:
            await asyncio.sleep(_FIGURES_S)
            await self._tell(session.figures())

    async def _leave_with(self, session: Session) -> None:
        """End the conversation when the session ends, so that the page can begin another."""
        await session.ended.wait()
        await self._end(CLOSED_ENDED)

    async def _tell(self, message: protocol.FromServer) -> None:
        await self._send(protocol.encode(message))

    async def _send(self, message: str | bytes) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await (
                    self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message)
                )
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("the page is gone (%s)", type(error).__name__)

    async def _end(self, code: int) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await self._socket.close(code)
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("the page is gone (%s)", type(error).__name__)


def _ways(ice: IceServers) -> dict[str, Any]:
    """What a welcome tells of the servers that a way is found by; the credentials are made for this page."""
    if not ice.urls:
        return {}
    username, credential = ice.credentials()
    stun = [protocol.IceServer(urls=(url,)) for url in ice.urls if url not in ice.relays]
    turn = [protocol.IceServer(urls=ice.relays, username=username, credential=credential)] if ice.relays else []
    return {"ice_servers": (*stun, *turn), "relay_only": ice.relay_only}
