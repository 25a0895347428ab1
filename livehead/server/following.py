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

from livehead.capture.webrtc import PeerCamera
from livehead.clock import Backoff
from livehead.errors import ConfigError, LiveheadError, ProtocolError
from livehead.frames import VideoFrame
from livehead.interfaces import EndOfStream
from livehead.server import protocol
from livehead.server.caller import LOST, Address, asked, call, text, untrusted
from livehead.server.motion_feed import MotionFeed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """A viewer's link, as the studio page gives it: where the server is, and the key that lets watch."""

    address: Address
    key: str

    @classmethod
    def parse(cls, url: str) -> Link:
        """``https://HOST[:PORT]/watch#key=KEY``. Raises: ConfigError, in which the key is not told."""
        remedy = "copy the link under Viewers in the studio page: https://HOST/watch#key=KEY"
        try:
            parts = urlsplit(url)
            place, [key] = parts.netloc, parse_qs(parts.fragment).get("key", [""])
        except ValueError as error:
            raise ConfigError("this is no viewer's link", remedy) from error
        if parts.scheme not in ("http", "https") or parts.path != "/watch" or not key:
            raise ConfigError("this is no viewer's link", remedy)
        return cls(Address.parse(f"{'wss' if parts.scheme == 'https' else 'ws'}://{place}", remedy), key)


class Following:
    """A ``Capture`` that has nothing to show but that there is new motion; ``feed`` is the ``Driver`` that gives it.

    ``await Following.begin(link)`` makes one. ``tell`` gets a line when the connection is lost and when it is back.
    """

    def __init__(self, link: Link, opening: bytes, *, fps: float, tell: Callable[[str], None] = log.info) -> None:
        self.feed = MotionFeed(opening)
        self._link = link
        self._tell = tell
        self._camera = PeerCamera(fps)
        self._keeping: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, link: Link, *, fps: float, tell: Callable[[str], None] = log.info) -> Following:
        """Ask what kind of motion there is. Raises: ConfigError when there is none to be had under that link."""
        try:
            async with call(link.address) as socket:
                return cls(link, await _opening(socket, link.key), fps=fps, tell=tell)
        except ssl.SSLCertVerificationError as error:
            raise untrusted(link.address, error) from error
        except LOST as error:
            raise ConfigError(f"{link.address.http} does not answer", "check the link and the network") from error

    async def __aenter__(self) -> Following:
        await self._camera.__aenter__()
        self._camera.plug(self.feed)
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the connection."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        await self._camera.__aexit__(kind, error, trace)

    async def recv(self) -> VideoFrame:
        """A grey picture for each motion. Raises: EndOfStream when the session is over."""
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()
            raise EndOfStream
        return await self._camera.recv()

    async def _keep(self) -> None:
        """Until the session is over, or its motion turns into another kind."""
        backoff, told = Backoff(), False
        while True:
            try:
                async with call(self._link.address) as socket:
                    opening = await _opening(socket, self._link.key)
                    if told:
                        self._tell(f"connected to {self._link.address.http} again")
                    backoff.reset()
                    told = False
                    await self._take(socket, opening)
            except LiveheadError as over:
                self._tell(str(over))
                return
            except LOST as error:
                log.debug("lost (%s)", type(error).__name__)
            if not told:
                self._tell(f"no connection to {self._link.address.http}; trying again")
                told = True
            await asyncio.sleep(backoff.next_s())

    async def _take(self, socket: ClientConnection, opening: bytes) -> None:
        while True:
            if opening != self.feed.opening:
                raise ConfigError("the performer's motion is of another kind now", "start anew")
            self.feed.restart()
            while isinstance(received := await socket.recv(), bytes):
                try:
                    self.feed.take(received)
                except ProtocolError as error:
                    log.debug("%s", error)
            news = protocol.decode_answer(text(received))
            if isinstance(news, protocol.Opening):
                opening = bytes.fromhex(news.opening)


async def _opening(socket: ClientConnection, key: str) -> bytes:
    """Of the motion that follows. Raises: ConfigError with what the server says instead."""
    await asked(socket, protocol.Hello(role="viewer", key=key), protocol.Welcome)
    return bytes.fromhex((await asked(socket, protocol.Follow(), protocol.Opening)).opening)
