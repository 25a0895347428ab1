"""Lets a ``livehead serve`` elsewhere draw the avatar: motion goes there, and the picture comes back.

Motion goes over the WebSocket, newest only; the picture comes by WebRTC. A lost connection is made again, with growing
pauses: to the same session where the server still has it, else to a new one, which gets every setting again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from aiortc import RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from livehead.client.connection import (
    CONNECTION_ERRORS,
    ServerAddress,
    certificate_error,
    open_socket,
    send_message,
    send_request,
    text_or_empty,
)
from livehead.clock import NS, ExponentialBackoff, now_ns
from livehead.concurrency import Latest
from livehead.errors import ConfigError, LiveheadError, ProtocolError, SourceError, root_cause
from livehead.http_client import send_http_request
from livehead.motion.keypoints import Keypoints
from livehead.protocol import messages
from livehead.protocol.motion_packets import MotionPacketEncoder
from livehead.untrusted_files import DamagedFileError, guard_parser, parse_json_object
from livehead.webrtc.ice import IceServers, patch_transceiver_gathering
from livehead.webrtc.receiver_patches import patch_receiver
from livehead.webrtc.remote_tracks import RemoteVideoCapture

log = logging.getLogger(__name__)

_BACKOFF_S = (0.25, 8.0)  # the first and the longest wait between two attempts
_VIDEO_TIMEOUT_S = 5.0  # without a picture for so long the connection is made again, as a server always sends some
_UPLOAD_TIMEOUT_S = 60.0
_MAX_REFUSAL_BYTES = 4096
_SETTLE_NS = 5 * NS
_MOTION_AGE_WINDOW, _STATS_WINDOW = 30, 5  # packets, and reports of a second, of which the median counts


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Holds what a new session is to be set to: settings, and the bytes of image files for avatar and background."""

    settings: messages.SettingsUpdate
    photo: bytes | None = None
    backdrop: bytes | None = None


class RemoteRenderer:
    """Sends submitted motion while ``run`` runs; ``camera`` is a ``Capture`` of the pictures that come back.

    ``report`` gets a line when the connection is lost, and when it is made.
    """

    def __init__(
        self,
        address: ServerAddress,
        token: str,
        session_request: SessionRequest,
        *,
        fps: float,
        report: Callable[[str], None] = log.info,
    ) -> None:
        self.camera = RemoteVideoCapture(fps, for_display=True, age_ns=self._picture_age_ns)
        self.sent_packets = self.sent_bytes = self.connection_count = 0
        # the delays from a frame seen here to its packet of motion, and from that to the picture that comes back
        self._motion_ages_ms: deque[float] = deque(maxlen=_MOTION_AGE_WINDOW)
        self._return_delays_ms: deque[float] = deque(maxlen=_STATS_WINDOW)
        self._address = address
        self._token = token
        self._session_request = session_request
        self._fps = fps
        self._report = report
        self._motions: Latest[Keypoints] = Latest()
        self._session_key = ""
        self._first_connected_ns: int | None = None

    def submit_motion(self, motion: Keypoints) -> None:
        """Send ``motion``, unless a newer one comes before that; callable from any thread."""
        self._motions.put(motion)

    async def run(self) -> None:
        """Run until cancelled. Raises: LiveheadError when the server refuses at first what it is asked for."""
        writer = MotionPacketEncoder(await self._motions.get(), self._fps)
        backoff, reported = ExponentialBackoff(*_BACKOFF_S), ""
        error: BaseException
        while True:
            before = self.connection_count
            try:
                await self._run_connection(writer)
            except ssl.SSLCertVerificationError as failure:
                error = certificate_error(self._address, failure)
            except (ExceptionGroup, LiveheadError, *CONNECTION_ERRORS) as failure:
                error = root_cause(failure)
            if isinstance(error, LiveheadError) and not self._is_settled:
                raise error  # no use in asking again
            if not isinstance(error, (LiveheadError, *CONNECTION_ERRORS)):
                raise error
            if self.connection_count > before:
                backoff.reset()
                reported = ""
            if reported != (reported := _describe_error(error)):
                self._report(f"no connection to {self._address.http_url} ({reported}); trying again")
            await asyncio.sleep(backoff.next_delay_s())

    @property
    def _is_settled(self) -> bool:
        """Tells whether the server has accepted the settings: it confirms none, but would have refused them by now."""
        return self._first_connected_ns is not None and now_ns() - self._first_connected_ns > _SETTLE_NS

    async def _run_connection(self, writer: MotionPacketEncoder) -> None:
        """Hold one connection from hello to its end. Raises: the error that ends it."""
        async with open_socket(self._address) as socket:
            hello = messages.HelloMessage(role="studio", token=self._token, key=self._session_key)
            welcome = await send_request(socket, hello, messages.WelcomeMessage)
            picture = _ReturnVideo(self.camera, _to_ice_servers(welcome))
            try:
                answer = await send_request(
                    socket, messages.OfferMessage(sdp=await picture.create_offer()), messages.AnswerMessage
                )
                await picture.accept_answer(answer.sdp)
                await send_message(socket, messages.StartMotionMessage(opening=writer.header.pack().hex()))
                writer.force_keyframe()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send_motion(socket, writer))
                    group.create_task(self._receive_messages(socket))
                    group.create_task(self._watch_video(picture))
                    if welcome.key != self._session_key:
                        await self._configure_session(socket, welcome)
                    self._session_key = welcome.key
                    self.connection_count += 1
                    self._first_connected_ns = self._first_connected_ns or now_ns()
                    self._report(f"connected to {self._address.http_url}")
            except asyncio.CancelledError:
                with contextlib.suppress(*CONNECTION_ERRORS):
                    async with asyncio.timeout(1):
                        await send_message(socket, messages.ByeMessage())
                raise
            finally:
                await picture.close()

    async def _configure_session(self, socket: ClientConnection, welcome: messages.WelcomeMessage) -> None:
        """Send a new session its images and settings. Raises: SourceError when it refuses an image."""
        for path, image in (("photo", self._session_request.photo), ("backdrop", self._session_request.backdrop)):
            if image is None:
                continue
            if len(image) > welcome.most_upload_bytes:
                limit = f"{welcome.most_upload_bytes / 1e6:.0f} MB"
                raise ConfigError(f"the {path} has more than the {limit} that the server takes", "make it smaller")
            await _upload_image(f"{self._address.http_url}/{path}", image, welcome.key)
        if self._session_request.settings.model_dump(exclude={"type"}, exclude_none=True):
            await send_message(socket, self._session_request.settings)

    async def _send_motion(self, socket: ClientConnection, writer: MotionPacketEncoder) -> None:
        while True:
            motion = await self._motions.get()
            packet = writer.encode(motion)
            await socket.send(packet)
            self._motion_ages_ms.append((now_ns() - motion.captured_ns) / 1e6)
            self.sent_packets += 1
            self.sent_bytes += len(packet)

    async def _receive_messages(self, socket: ClientConnection) -> None:
        while True:
            message = messages.decode_server_message(text_or_empty(await socket.recv()))
            if isinstance(message, messages.ProblemMessage):
                error = ConfigError(message.problem, message.remedy)
                if message.fatal or not self._is_settled:
                    raise error
                self._report(f"the server says: {error}")
            elif isinstance(message, messages.SessionStats):
                self._return_delays_ms.append(message.total_ms + socket.latency * 1000)

    def _picture_age_ns(self) -> int:
        """How old the frame that a picture shows is when the picture comes back; 0 until the server has sent its share.

        The network takes what a ping takes, and the rest is measured at both ends: near enough for sound.
        """
        if not self._motion_ages_ms or not self._return_delays_ms:
            return 0
        return round((median(self._motion_ages_ms) + median(self._return_delays_ms)) * 1e6)

    async def _watch_video(self, video: _ReturnVideo) -> None:
        """Wait until no picture comes any more. Raises: ConnectionError then."""
        while not video.connection_lost.is_set():
            before = self.camera.received
            try:
                async with asyncio.timeout(_VIDEO_TIMEOUT_S):
                    await video.connection_lost.wait()
            except TimeoutError:
                if self.camera.received == before:
                    break
        raise ConnectionError("no pictures come back")


class _ReturnVideo:
    """The WebRTC connection that the avatar's picture comes back by, to be read from ``camera``."""

    def __init__(self, camera: RemoteVideoCapture, ice: IceServers) -> None:
        self.connection_lost = asyncio.Event()
        self._camera = camera
        self._peer = RTCPeerConnection(ice.rtc_configuration())
        self._peer.on("track", camera.attach_track)
        self._peer.on("connectionstatechange", self._on_connection_state)

    async def create_offer(self) -> str:
        transceiver = self._peer.addTransceiver("video", "recvonly")
        patch_transceiver_gathering(transceiver)
        patch_receiver(transceiver.receiver, "video")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def accept_answer(self, answer: str) -> None:
        """Take the server's SDP answer. Raises: ProtocolError when it is not one of WebRTC."""
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
            raise ProtocolError("the server's answer is not WebRTC's", "update livehead at both ends") from error

    def _on_connection_state(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self.connection_lost.set()

    async def close(self) -> None:
        self._camera.detach_track()
        await self._peer.close()


def _to_ice_servers(welcome: messages.WelcomeMessage) -> IceServers:
    """The STUN and TURN servers that the server's welcome names. Raises: ConfigError."""
    urls = tuple(url for server in welcome.ice_servers for url in server.urls)
    relays = [server for server in welcome.ice_servers if server.credential]
    name, password = (relays[0].username, relays[0].credential) if relays else ("", "")
    return IceServers(urls, name, password, relay_only=welcome.relay_only)


async def _upload_image(url: str, data: bytes, key: str) -> None:
    """Upload an image. Raises: SourceError with the server's answer, OSError when the server is not reached."""
    headers = {"Authorization": f"Bearer {key}"}
    reply = await send_http_request(
        "PUT", url, deadline_s=_UPLOAD_TIMEOUT_S, headers=headers, content=data, max_bytes=_MAX_REFUSAL_BYTES
    )
    if 200 <= reply.status < 300:
        return
    try:
        with guard_parser():
            answer = parse_json_object(reply.body)
            problem, remedy = str(answer["problem"]), str(answer["remedy"])
    except DamagedFileError:
        problem, remedy = f"the server refuses the picture ({reply.status})", "look at its log"
    raise SourceError(problem, remedy)


def _describe_error(error: BaseException) -> str:
    """The error in few words, without any text of the other side but the problem that it named."""
    if isinstance(error, LiveheadError):
        return error.problem
    return "closed by the server" if isinstance(error, ConnectionClosed) else str(error) or type(error).__name__
