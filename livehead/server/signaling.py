"""The WebSocket of one page: its messages are read and carried out, and it is sent the state of its session."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from livehead.clock import now_ns
from livehead.drivers.network import NetworkMotionSource
from livehead.errors import LiveheadError, ProtocolError, SessionError
from livehead.protocol import messages
from livehead.protocol.motion_packets import MotionPacketEncoder
from livehead.server.access import AccessPolicy, RateLimiter, too_many_wrong_keys_error
from livehead.server.client_connection import trust_connection
from livehead.server.event_log import RejectionLog
from livehead.server.http_requests import WRONG_KEY_PAUSE_S
from livehead.server.image_sandbox import MAX_UPLOAD_BYTES
from livehead.server.session import Session, to_current_settings
from livehead.server.session_manager import SessionManager
from livehead.webrtc.ice import IceServers
from livehead.webrtc.peer import PeerConnection, PeerState

log = logging.getLogger(__name__)

_HELLO_TIMEOUT_S = 5.0
_STATS_INTERVAL_S = 1.0
_MAX_MESSAGES, _RATE_PERIOD_S = 60, 2.0  # of one page; a slider that is dragged sends about 20 a second
_MAX_MOTION_PACKETS = 240  # in the same time
_MAX_PENDING_CHANGES = 64
_MAX_REJECTED_MESSAGES = 20  # so many malformed messages end the connection
CLOSE_REJECTED, CLOSE_SESSION_ENDED = 4403, 4410
_CLOSE_NORMAL, _CLOSE_INTERNAL_ERROR = 1000, 1011  # RFC 6455, section 7.4.1


class SignalingConnection:
    """One connection of a page, from ``hello`` to its end.

    ``auth_failures`` limits wrong keys and tokens of one address, here and in requests; ``rejections`` logs refusals.
    """

    def __init__(
        self,
        socket: WebSocket,
        sessions: SessionManager,
        access: AccessPolicy,
        auth_failures: RateLimiter,
        consent: str,
        *,
        rejections: RejectionLog,
    ) -> None:
        self._socket = socket
        self._sessions = sessions
        self._access = access
        self._auth_failures = auth_failures
        self._consent = consent
        self._rejections = rejections
        self._address = socket.client.host if socket.client else ""
        self._message_rate = RateLimiter(_MAX_MESSAGES, _RATE_PERIOD_S)
        self._packet_rate = RateLimiter(_MAX_MOTION_PACKETS, _RATE_PERIOD_S)
        self._motion_input: NetworkMotionSource | None = None
        self._viewer: PeerConnection | None = None
        self._motion_stream_task: asyncio.Task[None] | None = None
        self._transparent = False
        self._state_changed = asyncio.Event()
        self._pending_changes: asyncio.Queue[messages.ClientMessage] = asyncio.Queue(_MAX_PENDING_CHANGES)

    async def run(self) -> None:
        """Converse with the page until either side ends the connection."""
        await self._socket.accept()
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                first = await self._socket.receive_text()
        except (TimeoutError, WebSocketDisconnect, KeyError):
            await self._close_socket(CLOSE_REJECTED)
            return
        try:
            hello = messages.decode_client_message(first)
            if not isinstance(hello, messages.HelloMessage):
                raise ProtocolError("the first message has to be hello", "reload the page")
            session = await self._authenticate(hello)
            self._transparent = hello.transparent
        except LiveheadError as error:
            self._rejections.log_rejection(self._address, "hello", error)
            await self._send_message(messages.to_problem_message(error, fatal=True))
            await self._close_socket(CLOSE_REJECTED)
            return
        code = _CLOSE_INTERNAL_ERROR
        try:
            if hello.role == "viewer":
                await self._receive_messages(session, viewer=True)
            else:
                await self._serve_studio(session)
            code = _CLOSE_NORMAL
        finally:
            if self._motion_stream_task is not None:
                self._motion_stream_task.cancel()
                await asyncio.wait([self._motion_stream_task])
            if self._viewer is not None:
                await session.connections.remove_viewer(self._viewer)
            await self._close_socket(code)

    async def _serve_studio(self, session: Session) -> None:
        """Receive a performer's messages, and meanwhile send state and figures and apply changes."""
        with session.notify_page(self._state_changed.set):
            self._state_changed.set()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._send_state_changes(session)),
                    group.create_task(self._send_stats(session)),
                    group.create_task(self._close_when_session_ends(session)),
                    group.create_task(self._apply_changes(session)),
                ]
                await self._receive_messages(session, viewer=False)
                for task in tasks:
                    task.cancel()

    async def _authenticate(self, hello: messages.HelloMessage) -> Session:
        """Find or open the session that ``hello`` asks for, and send its welcome. Raises: SessionError."""
        if hello.role == "viewer":
            session = self._sessions.find_by_viewer_key(hello.key)
            if session is None:
                await self._count_wrong_key()
                raise SessionError("there is nobody to watch under this link", "ask for a new one", status=404)
            self._trust(viewer=True)
            await self._send_message(messages.WelcomeMessage(**_ice_server_fields(self._sessions.ice)))
            return session
        session = self._sessions.find_by_key(hello.key) if hello.key else None
        if session is None:
            # The right token is let in whatever others at its address have guessed: it has too many bits to be found.
            if not self._access.is_valid_token(hello.token):
                if not await self._count_wrong_key():
                    raise too_many_wrong_keys_error()
                raise SessionError("the token is wrong", "open the link that livehead serve printed", status=401)
            self._trust()
            session = await self._sessions.open_session()
        self._trust()
        avatar_factory = self._sessions.avatar_factory
        await self._send_message(
            messages.WelcomeMessage(
                key=session.key,
                viewer_key=session.viewer_key,
                drivers=avatar_factory.drivers,
                models=avatar_factory.models,
                chosen=to_current_settings(session.avatar_settings),
                most_upload_bytes=MAX_UPLOAD_BYTES,
                consent=self._consent,
                **_ice_server_fields(self._sessions.ice),
            )
        )
        return session

    async def _count_wrong_key(self) -> bool:
        """Count a wrong key or token; False, after a pause, when there were too many from this address."""
        if self._auth_failures.try_acquire(self._address, now_ns()):
            return True
        await asyncio.sleep(WRONG_KEY_PAUSE_S)
        return False

    def _trust(self, *, viewer: bool = False) -> None:
        trust_connection(self._socket.scope.get("state", {}), viewer=viewer)

    async def _receive_messages(self, session: Session, *, viewer: bool) -> None:
        rejected_count = 0
        while rejected_count < _MAX_REJECTED_MESSAGES:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text, packet = received.get("text"), received.get("bytes")
            try:
                if text is None:
                    self._receive_motion_packet(packet or b"")
                    continue
                if not self._message_rate.try_acquire(self._address, now_ns()):
                    raise ProtocolError("there are too many messages at once", "slow down")
                message = messages.decode_client_message(text)
                if isinstance(message, messages.ByeMessage):
                    if not viewer:
                        session.close("the page left")
                    return
                await (
                    self._handle_viewer_message(session, message) if viewer else self._handle_message(session, message)
                )
            except LiveheadError as error:
                rejected_count += isinstance(error, ProtocolError)
                self._rejections.log_rejection(self._address, "message", error)
                await self._send_message(messages.to_problem_message(error))

    def _receive_motion_packet(self, packet: bytes) -> None:
        """Take a packet of motion; packets beyond the rate are dropped, as newer ones follow. Raises: ProtocolError."""
        if self._motion_input is None:
            raise ProtocolError("a binary message has no place here", "send motion first")
        if self._packet_rate.try_acquire(self._address, now_ns()):
            self._motion_input.receive_packet(packet)

    async def _handle_viewer_message(self, session: Session, message: messages.ClientMessage) -> None:
        if isinstance(message, messages.FollowMotionMessage):
            if self._motion_stream_task is not None and not self._motion_stream_task.done():
                raise ProtocolError("this viewer follows already")
            self._motion_stream_task = asyncio.create_task(self._stream_motion(session))
            return
        if not isinstance(message, messages.OfferMessage):
            raise ProtocolError("a viewer can only watch")
        if self._viewer is not None and self._viewer.wants_ice_restart(message.sdp):
            await self._send_message(messages.AnswerMessage(sdp=await self._viewer.restart_ice(message.sdp)))
            return
        if self._viewer is not None:
            await session.connections.remove_viewer(self._viewer)
        answer, self._viewer = await session.accept_viewer(message.sdp, transparent=self._transparent)
        await self._send_message(messages.AnswerMessage(sdp=answer))

    async def _stream_motion(self, session: Session) -> None:
        """Send the performer's motion to a viewer until the session ends."""
        try:
            with session.connections.subscribe_motion() as motions:
                encoder: MotionPacketEncoder | None = None
                while (motion := await motions.get()) is not None:
                    if encoder is None or not encoder.accepts(motion):
                        encoder = MotionPacketEncoder(motion, session.fps)
                        await self._send_message(messages.MotionHeaderMessage(opening=encoder.header.pack().hex()))
                    await self._send_payload(encoder.encode(motion))
            await self._close_socket(CLOSE_SESSION_ENDED)
        except LiveheadError as error:
            await self._send_message(messages.to_problem_message(error))

    async def _handle_message(self, session: Session, message: messages.ClientMessage) -> None:
        match message:
            case messages.OfferMessage():
                await self._send_message(
                    messages.AnswerMessage(sdp=await session.accept_publisher(message.sdp, self._on_peer_state))
                )
            case messages.SettingsUpdate() | messages.RecordMessage() | messages.StartMotionMessage():
                if self._pending_changes.full():
                    raise ProtocolError("there are too many changes at once", "wait a moment")
                if isinstance(message, messages.StartMotionMessage):  # its packets follow at once
                    self._motion_input = session.motion_input(bytes.fromhex(message.opening))
                self._pending_changes.put_nowait(message)
            case messages.CalibrateMessage():
                session.avatar_switcher.recalibrate()
            case messages.FreezeMessage():
                session.avatar_switcher.set_frozen(message.on)
            case messages.PlayoutDelay():
                session.playout_timing.report_playout_delay(message.sound_later_ms)
            case _:
                raise ProtocolError("this message has no place here")

    async def _apply_changes(self, session: Session) -> None:
        """Carry out slow changes in order, beside the conversation: the panic key does not wait for a new avatar."""
        while True:
            message = await self._pending_changes.get()
            try:
                if isinstance(message, messages.SettingsUpdate):
                    await session.avatar_switcher.update_settings(message)
                elif isinstance(message, messages.StartMotionMessage) and self._motion_input is not None:
                    await session.use_motion_input(self._motion_input)
                elif isinstance(message, messages.RecordMessage):
                    await self._set_recording(session, message.on)
            except LiveheadError as error:
                await self._send_message(messages.to_problem_message(error))

    async def _set_recording(self, session: Session, on: bool) -> None:
        await session.set_recording(on)
        recorder = session.recorder
        if not on and recorder.finished_path is not None:
            size = recorder.finished_path.stat().st_size
            await self._send_message(messages.RecordingReady(seconds=round(recorder.finished_seconds, 1), size=size))

    def _on_peer_state(self, state: PeerState) -> None:
        self._state_changed.set()

    async def _send_state_changes(self, session: Session) -> None:
        while True:
            await self._state_changed.wait()
            self._state_changed.clear()
            await self._send_message(session.get_state())
            error = session.take_pending_error()
            if error is not None:
                await self._send_message(messages.to_problem_message(error))

    async def _send_stats(self, session: Session) -> None:
        while True:
            await asyncio.sleep(_STATS_INTERVAL_S)
            await self._send_message(session.stats_sampler.sample())

    async def _close_when_session_ends(self, session: Session) -> None:
        """Close the connection when the session ends, so that the page can begin another."""
        await session.ended.wait()
        await self._close_socket(CLOSE_SESSION_ENDED)

    async def _send_message(self, message: messages.ServerMessage) -> None:
        await self._send_payload(messages.encode_message(message))

    async def _send_payload(self, message: str | bytes) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await (
                    self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message)
                )
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("the page is gone (%s)", type(error).__name__)

    async def _close_socket(self, code: int) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await self._socket.close(code)
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("the page is gone (%s)", type(error).__name__)


def _ice_server_fields(ice: IceServers) -> dict[str, Any]:
    """The fields of a welcome that name the STUN and TURN servers, with credentials made for this page."""
    if not ice.urls:
        return {}
    username, credential = ice.credentials()
    stun = [messages.IceServer(urls=(url,)) for url in ice.urls if url not in ice.turn_urls]
    turn = [messages.IceServer(urls=ice.turn_urls, username=username, credential=credential)] if ice.turn_urls else []
    return {"ice_servers": (*stun, *turn), "relay_only": ice.relay_only}
