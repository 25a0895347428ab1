"""A performer whose session is on another machine and whose avatar is drawn here: motion comes, 5 kB a second.

What a viewer's link opens is asked for motion in place of pictures. A connection that is lost is made anew, with
growing pauses; meanwhile the avatar idles. When the session is over, so is the capture.
"""

from __future__ import annotations

import asyncio
import logging
import os
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
from livehead.concurrency import Latest
from livehead.drivers.network import NetworkMotionSource
from livehead.environment import VIEWER_KEY_VARIABLE
from livehead.errors import ConfigError, LiveheadError, ProtocolError
from livehead.interfaces import EndOfStream
from livehead.motion.keypoints import Keypoints
from livehead.motion_stages import TimedMotion
from livehead.protocol import messages
from livehead.quality import QualityLevel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """A viewer's link, as the studio page gives it: where the server is, and the key that lets watch."""

    address: ServerAddress
    key: str

    @classmethod
    def parse(cls, url: str) -> ViewerLink:
        """``https://HOST[:PORT]/watch#key=KEY``, or without ``#key=KEY`` where the key is in the environment.

        Raises: ConfigError, in which the key is not told.
        """
        remedy = "copy the link under Viewers in the studio page: https://HOST/watch#key=KEY"
        try:
            parts = urlsplit(url)
            place, [key] = parts.netloc, parse_qs(parts.fragment).get("key", [os.environ.get(VIEWER_KEY_VARIABLE, "")])
        except ValueError as error:
            raise ConfigError("this is no viewer's link", remedy) from error
        if parts.scheme not in ("http", "https") or parts.path != "/watch" or not key:
            raise ConfigError("this is no viewer's link", remedy)
        return cls(ServerAddress.parse(f"{'wss' if parts.scheme == 'https' else 'ws'}://{place}", remedy), key)


class RemoteMotionSource:
    """A ``MotionSource``: the motion of a performer whose session is on another machine.

    ``await RemoteMotionSource.connect(link)`` makes one. ``report`` gets a line when the connection is lost and when it
    is back.
    """

    ends_with_microphone = False

    def __init__(
        self, link: ViewerLink, header: bytes, *, fps: float, report: Callable[[str], None] = log.info
    ) -> None:
        self.on_motion: Callable[[Keypoints], None] | None = None
        """Called with each motion, to record it."""
        self._feed = NetworkMotionSource(header, fps=fps)
        self._link = link
        self._report = report
        self._connection_task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, link: ViewerLink, *, fps: float, report: Callable[[str], None] = log.info
    ) -> RemoteMotionSource:
        """Ask what kind of motion there is. Raises: ConfigError when there is none to be had under that link."""
        try:
            async with open_socket(link.address) as socket:
                return cls(link, await _request_motion_header(socket, link.key), fps=fps, report=report)
        except ssl.SSLCertVerificationError as error:
            raise certificate_error(link.address, error) from error
        except CONNECTION_ERRORS as error:
            raise ConfigError(f"{link.address.http_url} does not answer", "check the link and the network") from error

    @property
    def motion_set(self) -> str:
        """The set of points that the performer's session gives."""
        return self._feed.motion_set

    async def __aenter__(self) -> RemoteMotionSource:
        self._connection_task = asyncio.create_task(self._maintain_connection())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the connection to the performer's session."""
        if self._connection_task is not None:
            self._connection_task.cancel()
            await asyncio.wait([self._connection_task])

    async def recv(self) -> TimedMotion:
        """The newest motion, or that of nobody while none comes. Raises: EndOfStream when the session is over."""
        if self._connection_task is not None and self._connection_task.done():
            self._connection_task.result()
            raise EndOfStream
        timed = await self._feed.recv()
        if self.on_motion is not None and isinstance(timed.motion, Keypoints):
            self.on_motion(timed.motion)
        return timed

    async def run(self, output: Latest[TimedMotion]) -> None:
        """Put every motion into ``output`` until the session is over or ``stop`` is called."""
        while True:
            try:
                output.put(await self.recv())
            except EndOfStream:
                return

    def stop(self) -> None:
        """End ``run`` as if the session were over."""
        self._feed.stop()

    def set_quality(self, quality: QualityLevel) -> None:
        """Idle at the frame rate of ``quality`` while no motion comes."""
        self._feed.set_quality(quality)

    async def _maintain_connection(self) -> None:
        """Keep the connection until the session is over, or its motion turns into another kind."""
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
            if header != self._feed.header:
                raise ConfigError("the performer's motion is of another kind now", "start anew")
            self._feed.restart_decoder()
            while isinstance(received := await socket.recv(), bytes):
                try:
                    self._feed.receive_packet(received)
                except ProtocolError as error:
                    log.debug("%s", error)
            news = messages.decode_server_message(text_or_empty(received))
            if isinstance(news, messages.MotionHeaderMessage):
                header = bytes.fromhex(news.opening)


async def _request_motion_header(socket: ClientConnection, key: str) -> bytes:
    """Ask for the header of the motion that follows. Raises: ConfigError with what the server says instead."""
    await send_request(socket, messages.HelloMessage(role="viewer", key=key), messages.WelcomeMessage)
    return bytes.fromhex(
        (await send_request(socket, messages.FollowMotionMessage(), messages.MotionHeaderMessage)).opening
    )
