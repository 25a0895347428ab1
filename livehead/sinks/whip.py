"""Publishes the avatar to a WHIP endpoint (RFC 9725): a media server, an SFU, another ``livehead serve``.

Pictures are H.264 or VP8, whichever the server prefers, with the settings of ``webrtc/encoder.py``; sound is Opus. The
newest frame wins: what the network cannot carry is dropped up to the next key frame (``webrtc/broadcast.py``).
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import SessionDescription

from livehead.clock import NS, ExponentialBackoff, now_ns
from livehead.codecs.h264 import EncoderChoice
from livehead.errors import RejectedError, SinkError
from livehead.frames import AudioFrame, Frame
from livehead.stats import StatsCollector
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.encoded_track import EncodedTrack
from livehead.webrtc.ice import NO_ICE_SERVERS, IceServers, add_remote_candidates, patch_transceiver_gathering
from livehead.webrtc.remote_candidates import patch_transceiver_candidates
from livehead.webrtc.sender_patches import (
    SDP_PARSE_ERRORS,
    add_playout_delay,
    attach_encoded_track,
    count_received_packets,
    negotiate_playout_delay,
    negotiated_video_codec,
    preferred_codecs,
)
from livehead.webrtc.whip_client import WhipAnswer, WhipClient

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 10.0  # from the answer to media that flows
_POLL_INTERVAL_S = 0.25  # how often a connection is checked
_STEADY_NS = 5 * NS  # after a connection that lasted so long, the waits begin with the shortest again
_MEDIAN_WINDOW = 30  # pictures whose median delay is also the sound's


@dataclass(frozen=True, slots=True)
class SilenceLimits:
    """The reports of a receiver whose absence means that it is gone.

    ``timeout_s``: reports come at least every 7.5 s (RFC 3550, section 6.2); most receivers send one a second.
    ``min_reports``: reports received before their absence counts, since some servers send none at all.
    """

    timeout_s: float = 8.0
    min_reports: int = 3


DEFAULT_SILENCE_LIMITS = SilenceLimits()
ConnectionFactory = Callable[[RTCConfiguration], RTCPeerConnection]


class WhipSink:
    """Publishes pictures, and with ``sound`` the microphone too, to ``url``, and again after a lost connection.

    ``token``: the endpoint's bearer token. ``ice``: STUN and TURN servers; mostly none is needed, since the publisher
    calls the server, which sees the call's address. ``silence``: when a server counts as gone without a word.
    ``create_connection``: replaces aiortc's connection, for tests.
    ``stats`` counts ``published`` and has the timings of ``BroadcastSink``.
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
        encoder: EncoderChoice = "auto",
        ice: IceServers = NO_ICE_SERVERS,
        silence: SilenceLimits = DEFAULT_SILENCE_LIMITS,
        create_connection: ConnectionFactory = RTCPeerConnection,
    ) -> None:
        self.stats = StatsCollector()
        self._client = WhipClient(url, token)
        self._sound = sound
        self._silence = silence
        self._create_connection = partial(create_connection, ice.rtc_configuration())
        self._broadcast = BroadcastSink(fps=fps, stats=self.stats, encoder=encoder, delay_ms=self._median_delay_ms)
        self._stack = AsyncExitStack()
        self._session: _WhipSession | None = None
        self._reconnect_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WhipSink:
        if self._client.sends_token_in_clear:
            log.warning("the token goes to %s in the clear: use https", self._client.name)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._broadcast)
            stack.push_async_callback(self._unpublish)
            await self._publish()
            self._reconnect_task = asyncio.create_task(self._keep_published())
            stack.push_async_callback(self._stop_reconnecting, self._reconnect_task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the publication, on the server too."""
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Encode and send one frame; while there is no connection it is dropped. Raises: SinkError."""
        if self._reconnect_task is not None and self._reconnect_task.done():
            self._reconnect_task.result()
        if self._sound or not isinstance(frame, AudioFrame):
            await self._broadcast.send(frame)

    async def _publish(self) -> None:
        """Open a session with the server and wait until media flows. Raises: SinkError."""
        connection = self._create_connection()
        self._session = session = _WhipSession(
            connection, self._broadcast, self._client, self._silence, sound=self._sound
        )
        session.answer = answer = await self._client.publish(await session.create_offer())
        await session.connect(answer.sdp)
        self.stats.count("published")

    async def _unpublish(self) -> None:
        """End the last session, however far it got."""
        session, self._session = self._session, None
        if session is None:
            return
        session_url = session.answer.session_url if session.answer is not None else ""
        if session_url and not await self._client.delete_session(session_url):
            log.debug("%s did not confirm the end of the stream", self._client.name)
        await session.close()

    async def _keep_published(self) -> None:
        """Publish again whenever the connection is lost. Raises: RejectedError."""
        backoff = ExponentialBackoff()
        while True:
            started_ns = now_ns()
            if self._session is not None:
                await self._session.wait_until_lost()
            if now_ns() - started_ns > _STEADY_NS:
                backoff.reset()
            log.warning("the connection to %s is lost; publishing again", self._client.name)
            await self._unpublish()
            while self._session is None:
                await asyncio.sleep(backoff.next_delay_s())
                await self._try_publish()

    async def _try_publish(self) -> None:
        try:
            await self._publish()
        except RejectedError:
            raise
        except SinkError as error:
            log.info("%s", error)
            await self._unpublish()
        else:
            log.warning("%s has the avatar again", self._client.name)

    @staticmethod
    async def _stop_reconnecting(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # ``send`` has raised it

    def _median_delay_ms(self) -> float:
        recent = self.stats.recent_timings("capture_to_wire", _MEDIAN_WINDOW)
        return statistics.median(recent) if recent else 0.0


class _WhipSession:
    """One WHIP session, from its offer to its end."""

    def __init__(
        self,
        connection: RTCPeerConnection,
        broadcast: BroadcastSink,
        client: WhipClient,
        silence: SilenceLimits,
        *,
        sound: bool,
    ) -> None:
        self.answer: WhipAnswer | None = None
        self._broadcast = broadcast
        self._client = client
        self._silence = silence
        self._tracks: list[EncodedTrack] = []
        self._connection = connection
        self._video_transceiver = self._connection.addTransceiver("video", "sendonly")
        self._video_transceiver.setCodecPreferences(preferred_codecs())
        if sound:
            self._connection.addTransceiver("audio", "sendonly")
        if client.is_loopback:
            patch_transceiver_gathering(self._video_transceiver)
        else:
            patch_transceiver_candidates(self._video_transceiver)
        self._state_settled, self._disconnected = asyncio.Event(), asyncio.Event()
        self._connection.on("connectionstatechange", self._on_state_change)
        self._report_count = 0
        self._last_report = (0, now_ns())

    async def create_offer(self) -> str:
        """The offer as SDP with all candidate addresses in it."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return add_playout_delay(str(self._connection.localDescription.sdp))

    async def connect(self, answer: str) -> None:
        """Apply the server's ``answer`` (SDP), and wait until media flows. Raises: SinkError."""
        name = self._client.name
        try:
            parts = SessionDescription.parse(answer).media
            await add_remote_candidates(self._video_transceiver, parts)
            await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except (*SDP_PARSE_ERRORS, InvalidAccessError, InvalidStateError, OperationError) as error:
            reason = str(error) if isinstance(error, OperationError) else type(error).__name__
            raise RejectedError(f"the answer of {name} is not usable ({reason})", "let it take H.264 or VP8") from error
        for transceiver, part in zip(self._connection.getTransceivers(), parts, strict=False):
            if transceiver.currentDirection == "sendonly" and part.port:
                negotiate_playout_delay(transceiver, part)
                self._attach_sender(transceiver)
        if not any(track.kind == "video" for track in self._tracks):
            raise RejectedError(f"{name} takes no picture", "let it take H.264 or VP8", subject=name)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._state_settled.wait()
        if self._connection.connectionState != "connected":
            remedy = "let UDP through the firewall, and give the server the address that it is reached at"
            raise SinkError(f"{name} answers, but no media gets through to it", remedy, subject=name)

    def _attach_sender(self, transceiver: RTCRtpTransceiver) -> None:
        if transceiver.kind == "audio":
            track = self._broadcast.add_audio_track()
        else:
            track = self._broadcast.add_video_track(negotiated_video_codec(transceiver), is_owner=True)
        self._tracks.append(track)
        transceiver.sender.replaceTrack(track)
        attach_encoded_track(transceiver.sender, track)

    def _on_state_change(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._disconnected.set()
        if state == "connected" or self._disconnected.is_set():
            self._state_settled.set()

    async def wait_until_lost(self) -> None:
        """Return when the server has ended the connection, or no longer sends the reports that it used to send."""
        while not self._is_silent():
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_INTERVAL_S):
                    await self._disconnected.wait()
                    return

    def _is_silent(self) -> bool:
        packets = count_received_packets(self._video_transceiver.sender)
        if packets != self._last_report[0]:
            self._report_count += 1
            self._last_report = (packets, now_ns())
        if self._report_count < self._silence.min_reports:
            return False
        return now_ns() - self._last_report[1] > self._silence.timeout_s * NS

    async def close(self) -> None:
        """End the session on this side, which frees its ports and tracks."""
        for track in self._tracks:
            track.stop()
        await self._connection.close()
