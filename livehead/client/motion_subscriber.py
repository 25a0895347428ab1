"""A performer whose session is on another machine and whose avatar is drawn here: motion comes, 5 kB a second.

What a viewer's link opens is asked for motion in place of pictures. A connection that is lost is made anew, with
growing pauses; meanwhile the avatar idles. When the session is over, so is the capture.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import ClientConnection

from livehead.client.connection import (
    CONNECTION_ERRORS,
    ServerAddress,
    certificate_error,
    open_socket,
    send_request,
    text_or_empty,
)
from livehead.clock import ExponentialBackoff
from livehead.drivers.network import MotionFeed
from livehead.errors import ConfigError, LiveheadError, ProtocolError
from livehead.frames import VideoFrame
from livehead.interfaces import EndOfStream
from livehead.protocol import messages
from livehead.webrtc.remote_tracks import RemoteVideoCapture

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """A viewer's link, as the studio page gives it: where the server is, and the key that lets watch."""

    address: ServerAddress
    key: str

    @classmethod
    def parse(cls, url: str) -> ViewerLink:
        """``https://HOST[:PORT]/watch#key=KEY``. Raises: ConfigError, in which the key is not told."""
        remedy = "copy the link under Viewers in the studio page: https://HOST/watch#key=KEY"
        try:
            parts = urlsplit(url)
            place, [key] = parts.netloc, parse_qs(parts.fragment).get("key", [""])
        except ValueError as error:
            raise ConfigError("this is no viewer's link", remedy) from error
        if parts.scheme not in ("http", "https") or parts.path != "/watch" or not key:
            raise ConfigError("this is no viewer's link", remedy)
        return cls(ServerAddress.parse(f"{'wss' if parts.scheme == 'https' else 'ws'}://{place}", remedy), key)


class RemoteMotionCapture:
    """A ``Capture`` that has nothing to show but that there is new motion; ``feed`` is the ``Driver`` that gives it.

    ``await Following.begin(link)`` makes one. ``tell`` gets a line when the connection is lost and when it is back.
    """

    def __init__(
        self, link: ViewerLink, header: bytes, *, fps: float, report: Callable[[str], None] = log.info
    ) -> None:
        self.driver = MotionFeed(header)
        self._link = link
        self._report = report
        self._camera = RemoteVideoCapture(fps)
        self._connection_task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, link: ViewerLink, *, fps: float, report: Callable[[str], None] = log.info
    ) -> RemoteMotionCapture:
        """Ask what kind of motion there is. Raises: ConfigError when there is none to be had under that link."""
        try:
            async with open_socket(link.address) as socket:
                return cls(link, await _request_motion_header(socket, link.key), fps=fps, report=report)
        except ssl.SSLCertVerificationError as error:
            raise certificate_error(link.address, error) from error
        except CONNECTION_ERRORS as error:
            raise ConfigError(f"{link.address.http_url} does not answer", "check the link and the network") from error

    async def __aenter__(self) -> RemoteMotionCapture:
        await self._camera.__aenter__()
        self._camera.attach_track(self.driver)
        self._connection_task = asyncio.create_task(self._maintain_connection())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the connection."""
        if self._connection_task is not None:
            self._connection_task.cancel()
            await asyncio.wait([self._connection_task])
        await self._camera.__aexit__(kind, error, trace)

    async def recv(self) -> VideoFrame:
        """A grey picture for each motion. Raises: EndOfStream when the session is over."""
        if self._connection_task is not None and self._connection_task.done():
            self._connection_task.result()
            raise EndOfStream
        return await self._camera.recv()

    async def _maintain_connection(self) -> None:
        """Until the session is over, or its motion turns into another kind."""
        backoff, told = ExponentialBackoff(), False
        while True:
            try:
                async with open_socket(self._link.address) as socket:
                    opening = await _request_motion_header(socket, self._link.key)
                    if told:
                        self._report(f"connected to {self._link.address.http_url} again")
                    backoff.reset()
                    told = False
                    await self._receive_motion(socket, opening)
            except LiveheadError as over:
                self._report(str(over))
                return
            except CONNECTION_ERRORS as error:
                log.debug("lost (%s)", type(error).__name__)
            if not told:
                self._report(f"no connection to {self._link.address.http_url}; trying again")
                told = True
            await asyncio.sleep(backoff.next_delay_s())

    async def _receive_motion(self, socket: ClientConnection, header: bytes) -> None:
        while True:
            if header != self.driver.header:
                raise ConfigError("the performer's motion is of another kind now", "start anew")
            self.driver.restart_reader()
            while isinstance(received := await socket.recv(), bytes):
                try:
                    self.driver.receive_packet(received)
                except ProtocolError as error:
                    log.debug("%s", error)
            news = messages.decode_server_message(text_or_empty(received))
            if isinstance(news, messages.MotionHeaderMessage):
                header = bytes.fromhex(news.opening)


async def _request_motion_header(socket: ClientConnection, key: str) -> bytes:
    """Of the motion that follows. Raises: ConfigError with what the server says instead."""
    await send_request(socket, messages.HelloMessage(role="viewer", key=key), messages.WelcomeMessage)
    return bytes.fromhex(
        (await send_request(socket, messages.FollowMotionMessage(), messages.MotionHeaderMessage)).opening
    )
