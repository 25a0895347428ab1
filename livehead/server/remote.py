"""The other end of a studio: motion goes to a ``livehead serve`` elsewhere, the picture that it draws comes back.

Motion goes over the WebSocket, newest only; the picture comes by WebRTC. Whatever is lost is made anew, with growing
pauses: the same session where the server still has it, else a new one, which is told everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from aiortc import RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from livehead.capture.webrtc import PeerCamera
from livehead.clock import NS, now_ns
from livehead.concurrency import Latest
from livehead.errors import ConfigError, LiveheadError, ProtocolError, SourceError
from livehead.motion.keypoints import Keypoints
from livehead.motion.wire import MotionWriter
from livehead.server import protocol
from livehead.server.caller import LOST, Address, asked, call, say, text, untrusted
from livehead.server.tuning import tune_receiver
from livehead.sinks.ice import IceServers, tune_addresses, without_false_ports

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0
_BLIND_S = 5.0  # without a picture for so long, the connection is made anew; a server always sends some
_UPLOAD_S = 60.0
_SETTLING_NS = 5 * NS
_RECENT, _REPORTS = 30, 5  # packets, and reports of a second, of which the median counts


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a new session is told: settings, and the bytes of image files for avatar and background."""

    settings: protocol.Settings
    photo: bytes | None = None
    backdrop: bytes | None = None


class RemoteStudio:
    """``run`` beside whatever ``put``s motion and reads ``camera``, a ``Capture`` of the pictures that come back.

    ``tell`` gets a line when the connection is lost and when it is there (again).
    """

    def __init__(
        self, address: Address, token: str, wishes: Wishes, *, fps: float, tell: Callable[[str], None] = log.info
    ) -> None:
        self.camera = PeerCamera(fps, shown=True, age_ns=self._age_ns)
        self.sent = self.sent_bytes = self.connections = 0
        self._before_ms: deque[float] = deque(maxlen=_RECENT)  # from what is seen here to the packet that tells it ...
        self._after_ms: deque[float] = deque(maxlen=_REPORTS)  # ... and from that to the picture, which comes back
        self._address = address
        self._token = token
        self._wishes = wishes
        self._fps = fps
        self._tell = tell
        self._motions: Latest[Keypoints] = Latest()
        self._key = ""
        self._first_ns: int | None = None

    def put(self, motion: Keypoints) -> None:
        """Send ``motion``, unless a newer one comes before that; callable from any thread."""
        self._motions.put(motion)

    async def run(self) -> None:
        """Until cancelled. Raises: LiveheadError when the server refuses for good what it is asked for at first."""
        writer = MotionWriter(await self._motions.get(), self._fps)
        pause_s, told = _FIRST_PAUSE_S, ""
        error: Exception
        while True:
            before = self.connections
            try:
                await self._converse(writer)
            except ssl.SSLCertVerificationError as failure:
                error = untrusted(self._address, failure)
            except (ExceptionGroup, LiveheadError, *LOST) as ended:
                error = _only(ended)
            if isinstance(error, LiveheadError) and not self._settled:
                raise error  # no use in asking again
            if not isinstance(error, (LiveheadError, *LOST)):
                raise error
            if self.connections > before:
                pause_s, told = _FIRST_PAUSE_S, ""
            if told != (told := _told(error)):
                self._tell(f"no connection to {self._address.http} ({told}); trying again")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @property
    def _settled(self) -> bool:
        """Whether the server has taken all that it was asked for: it does not say so, but it would have complained."""
        return self._first_ns is not None and now_ns() - self._first_ns > _SETTLING_NS

    async def _converse(self, writer: MotionWriter) -> None:
        """One connection from hello to its end. Raises: what ends it."""
        async with call(self._address) as socket:
            hello = protocol.Hello(role="studio", token=self._token, key=self._key)
            welcome = await asked(socket, hello, protocol.Welcome)
            picture = _Picture(self.camera, _ways(welcome))
            try:
                answer = await asked(socket, protocol.Offer(sdp=await picture.offer()), protocol.Answer)
                await picture.take(answer.sdp)
                await say(socket, protocol.Motion(opening=writer.opening.pack().hex()))
                writer.restart()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send(socket, writer))
                    group.create_task(self._listen(socket))
                    group.create_task(self._watch(picture))
                    if welcome.key != self._key:
                        await self._introduce(socket, welcome)
                    self._key = welcome.key
                    self.connections += 1
                    self._first_ns = self._first_ns or now_ns()
                    self._tell(f"connected to {self._address.http}")
            except asyncio.CancelledError:
                with contextlib.suppress(*LOST):
                    async with asyncio.timeout(1):
                        await say(socket, protocol.Bye())
                raise
            finally:
                await picture.close()

    async def _introduce(self, socket: ClientConnection, welcome: protocol.Welcome) -> None:
        """Tell a new session what is wished. Raises: SourceError when it does not like an image."""
        for path, image in (("photo", self._wishes.photo), ("backdrop", self._wishes.backdrop)):
            if image is None:
                continue
            if len(image) > welcome.most_upload_bytes:
                most = f"{welcome.most_upload_bytes / 1e6:.0f} MB"
                raise ConfigError(f"the {path} has more than the {most} that the server takes", "make it smaller")
            await asyncio.to_thread(_upload, f"{self._address.http}/{path}", image, welcome.key)
        if self._wishes.settings.model_dump(exclude={"type"}, exclude_none=True):
            await say(socket, self._wishes.settings)

    async def _send(self, socket: ClientConnection, writer: MotionWriter) -> None:
        while True:
            motion = await self._motions.get()
            packet = writer.packet(motion)
            await socket.send(packet)
            self._before_ms.append((now_ns() - motion.captured_ns) / 1e6)
            self.sent += 1
            self.sent_bytes += len(packet)

    async def _listen(self, socket: ClientConnection) -> None:
        while True:
            message = protocol.decode_answer(text(await socket.recv()))
            if isinstance(message, protocol.Problem):
                error = ConfigError(message.problem, message.remedy)
                if message.fatal or not self._settled:
                    raise error
                self._tell(f"the server says: {error}")
            elif isinstance(message, protocol.Figures):
                self._after_ms.append(message.total_ms + socket.latency * 1000)

    def _age_ns(self) -> int:
        """How old what a picture shows is when that comes back; 0 until the server has told its share.

        The ways there and back take what a ping takes, the rest is measured at both ends: near enough for sound.
        """
        if not self._before_ms or not self._after_ms:
            return 0
        return round((median(self._before_ms) + median(self._after_ms)) * 1e6)

    async def _watch(self, picture: _Picture) -> None:
        """Raises: ConnectionError when no picture comes any more."""
        while not picture.lost.is_set():
            before = self.camera.received
            try:
                async with asyncio.timeout(_BLIND_S):
                    await picture.lost.wait()
            except TimeoutError:
                if self.camera.received == before:
                    break
        raise ConnectionError("no pictures come back")


class _Picture:
    """The WebRTC side of a connection: the avatar's picture, plugged into ``camera``."""

    def __init__(self, camera: PeerCamera, ice: IceServers) -> None:
        self.lost = asyncio.Event()
        self._camera = camera
        self._peer = RTCPeerConnection(ice.configuration())
        self._peer.on("track", camera.plug)
        self._peer.on("connectionstatechange", self._changed)

    async def offer(self) -> str:
        transceiver = self._peer.addTransceiver("video", "recvonly")
        tune_addresses(transceiver)
        tune_receiver(transceiver.receiver, "video")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def take(self, answer: str) -> None:
        """Raises: ProtocolError."""
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(without_false_ports(answer), "answer"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
            raise ProtocolError("the server's answer is not WebRTC's", "update livehead at both ends") from error

    def _changed(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self.lost.set()

    async def close(self) -> None:
        self._camera.unplug()
        await self._peer.close()


def _ways(welcome: protocol.Welcome) -> IceServers:
    """The servers that ours tells us to find the way by. Raises: ConfigError."""
    urls = tuple(url for server in welcome.ice_servers for url in server.urls)
    relays = [server for server in welcome.ice_servers if server.credential]
    name, password = (relays[0].username, relays[0].credential) if relays else ("", "")
    return IceServers(urls, name, password, relay_only=welcome.relay_only)


def _upload(url: str, data: bytes, key: str) -> None:
    """Raises: SourceError with what the server says, OSError when it is not reached."""
    request = Request(url, data, {"authorization": f"Bearer {key}"}, method="PUT")
    try:
        urlopen(request, timeout=_UPLOAD_S).close()
    except HTTPError as error:
        with error:
            told = error.read(4096)
        try:
            said = json.loads(told)
            raise SourceError(str(said["problem"]), str(said["remedy"])) from error
        except (ValueError, KeyError, TypeError):
            raise SourceError(f"the server refuses the picture ({error.code})", "look at its log") from error
    except URLError as error:
        raise ConnectionError(str(error.reason)) from error


def _only(ended: Exception) -> Exception:
    """The exception that ended a conversation: of several tasks' the server's word first."""
    if isinstance(ended, ExceptionGroup):
        ended = ended.subgroup(LiveheadError) or ended
    while isinstance(ended, ExceptionGroup):
        ended = ended.exceptions[0]
    return ended


def _told(error: Exception) -> str:
    """In few words, none of which the other side chose but a sentence of its own."""
    if isinstance(error, LiveheadError):
        return error.problem
    return "closed by the server" if isinstance(error, ConnectionClosed) else str(error) or type(error).__name__
