"""The avatar to a WHIP endpoint (RFC 9725): a media server, an SFU, another ``livehead serve``.

Pictures are H.264 or VP8, whichever the server prefers of the two, with the settings of ``encoding.py``; sound is Opus.
The newest frame wins: what the network cannot take is dropped up to the next key frame (``webrtc.py``).
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import SessionDescription

from livehead.clock import NS, Backoff, now_ns
from livehead.concurrency import Worker
from livehead.errors import RefusedError, SinkError
from livehead.frames import AudioFrame, Frame
from livehead.sinks.h264 import Choice
from livehead.sinks.ice import NONE, IceServers, take_candidates, tune_addresses, without_false_ports
from livehead.sinks.sending import (
    UNREADABLE,
    agree_on_playout_delay,
    offer_playout_delay,
    preferred_codecs,
    tune_sender,
)
from livehead.sinks.webrtc import Broadcast, Lane
from livehead.sinks.whip_endpoint import Answer, Endpoint
from livehead.stats import Stats

log = logging.getLogger(__name__)

_CONNECT_S = 10.0  # from the answer to media that flows
_LOOK_S = 0.25  # how often a connection is looked at
_SILENCE_NS = 8 * NS  # a receiver's reports come at least every 7.5 s (RFC 3550, section 6.2); most send one a second
_REPORTS = 3  # heard until their absence means anything: some servers send none
_STEADY_NS = 5 * NS  # a connection that lasted so long was a good one
_RECENT = 30  # pictures whose median delay the sound gets


class WhipSink:
    """Publishes to ``url``; with ``sound``, what a microphone gives too. Publishes again, ever later, after a drop.

    ``token``: the endpoint's bearer token. ``ice``: servers to find the way by; mostly none is needed, since who
    publishes calls the server, which sees where the call comes from. ``stats``: counts ``published``; times as
    ``Broadcast`` tells them.
    Raises: ConfigError for a wrong address; SinkError, on entering when the server cannot be published to, on sending
    when it refuses for good.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        fps: float = 30.0,
        sound: bool = False,
        encoder: Choice = "auto",
        ice: IceServers = NONE,
    ) -> None:
        self.stats = Stats()
        self._endpoint = Endpoint(url, token)
        self._sound = sound
        self._ice = ice
        self._broadcast = Broadcast(fps=fps, stats=self.stats, encoder=encoder)
        self._broadcast.delay_ms = self._delay_ms
        self._worker = Worker("whip")
        self._stack = AsyncExitStack()
        self._publication: _Publication | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WhipSink:
        if self._endpoint.in_clear:
            log.warning("the token goes to %s in the clear: use https", self._endpoint.name)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await stack.enter_async_context(self._broadcast)
            stack.push_async_callback(self._withdraw)
            await self._publish()
            self._keeper = asyncio.create_task(self._keep())
            stack.push_async_callback(self._stop_keeping, self._keeper)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the publication, on the server too."""
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Encode and send one frame; while there is no connection it is dropped. Raises: SinkError."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()
        if self._sound or not isinstance(frame, AudioFrame):
            await self._broadcast.send(frame)

    async def _publish(self) -> None:
        """Raises: SinkError."""
        self._publication = publication = _Publication(self._broadcast, self._endpoint, self._ice, sound=self._sound)
        publication.answer = answer = await self._worker.run(self._endpoint.publish, await publication.offer())
        await publication.connect(answer.sdp)
        self.stats.count("published")

    async def _withdraw(self) -> None:
        """End what was published last, as far as it got."""
        publication, self._publication = self._publication, None
        if publication is None:
            return
        place = publication.answer.place if publication.answer is not None else ""
        if place and not await self._worker.run(self._endpoint.end, place):
            log.debug("%s did not hear that the stream is over", self._endpoint.name)
        await publication.close()

    async def _keep(self) -> None:
        """Publish again whenever the connection is lost. Raises: RefusedError."""
        backoff = Backoff()
        while True:
            began = now_ns()
            if self._publication is not None:
                await self._publication.lost()
            if now_ns() - began > _STEADY_NS:
                backoff.reset()
            log.warning("the connection to %s is lost; publishing again", self._endpoint.name)
            await self._withdraw()
            while self._publication is None:
                await asyncio.sleep(backoff.next_s())
                await self._try_again()

    async def _try_again(self) -> None:
        try:
            await self._publish()
        except RefusedError:
            raise
        except SinkError as error:
            log.info("%s", error)
            await self._withdraw()
        else:
            log.warning("%s has the avatar again", self._endpoint.name)

    @staticmethod
    async def _stop_keeping(keeper: asyncio.Task[None]) -> None:
        keeper.cancel()
        await asyncio.wait([keeper])
        if not keeper.cancelled():
            keeper.exception()  # told by ``send``

    def _delay_ms(self) -> float:
        recent = self.stats.recent("capture_to_wire", _RECENT)
        return statistics.median(recent) if recent else 0.0


class _Publication:
    """One connection, from its offer to its end. ``answer``: the server's, once it came."""

    def __init__(self, broadcast: Broadcast, endpoint: Endpoint, ice: IceServers, *, sound: bool) -> None:
        self.answer: Answer | None = None
        self._broadcast = broadcast
        self._endpoint = endpoint
        self._lanes: list[Lane] = []
        self._connection = RTCPeerConnection(ice.configuration())
        self._picture = self._connection.addTransceiver("video", "sendonly")
        self._picture.setCodecPreferences(preferred_codecs())
        if sound:
            self._connection.addTransceiver("audio", "sendonly")
        if endpoint.loopback:
            tune_addresses(self._picture)
        self._settled, self._gone = asyncio.Event(), asyncio.Event()
        self._connection.on("connectionstatechange", self._changed)
        self._reports = 0
        self._heard = (0, now_ns())

    async def offer(self) -> str:
        """SDP with all addresses in it."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return offer_playout_delay(str(self._connection.localDescription.sdp))

    async def connect(self, answer: str) -> None:
        """Take the answer (SDP), and wait until media flows. Raises: SinkError."""
        name, answer = self._endpoint.name, without_false_ports(answer)
        try:
            parts = SessionDescription.parse(answer).media
            await take_candidates(self._picture, parts)
            await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except (*UNREADABLE, InvalidAccessError, InvalidStateError, OperationError) as error:
            told = str(error) if isinstance(error, OperationError) else type(error).__name__
            raise RefusedError(f"the answer of {name} is not usable ({told})", "let it take H.264 or VP8") from error
        for transceiver, part in zip(self._connection.getTransceivers(), parts, strict=False):
            if transceiver.currentDirection == "sendonly" and part.port:
                agree_on_playout_delay(transceiver, part)
                self._feed(transceiver)
        if not any(lane.kind == "video" for lane in self._lanes):
            raise RefusedError(f"{name} takes no picture", "let it take H.264 or VP8", subject=name)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                await self._settled.wait()
        if self._connection.connectionState != "connected":
            remedy = "let UDP through the firewall, and give the server the address that it is reached at"
            raise SinkError(f"{name} answers, but no media gets through to it", remedy, subject=name)

    def _feed(self, transceiver: RTCRtpTransceiver) -> None:
        if transceiver.kind == "audio":
            lane = self._broadcast.sound_lane()
        else:
            lane = self._broadcast.video_lane("H264" if transceiver._codecs[0].name.upper() == "H264" else "VP8")
        self._lanes.append(lane)
        transceiver.sender.replaceTrack(lane)
        tune_sender(transceiver.sender, lane)

    def _changed(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._gone.set()
        if state == "connected" or self._gone.is_set():
            self._settled.set()

    async def lost(self) -> None:
        """Return when the other side is gone: by its own word, or silent while it used to report."""
        while not self._silent():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._gone.wait()
                    return

    def _silent(self) -> bool:
        transport: Any = self._picture.sender.transport
        packets: int = transport._RTCDtlsTransport__rx_packets
        if packets != self._heard[0]:
            self._reports += 1
            self._heard = (packets, now_ns())
        return self._reports >= _REPORTS and now_ns() - self._heard[1] > _SILENCE_NS

    async def close(self) -> None:
        """End it here; its ports and lanes are free afterwards."""
        for lane in self._lanes:
            lane.stop()
        await self._connection.close()
