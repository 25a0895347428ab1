"""One WebRTC connection: a performer's camera and microphone in, the avatar out; or a viewer, avatar only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, cast

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import MediaDescription, SessionDescription

from livehead.capture.webrtc import PeerCamera, PeerMicrophone
from livehead.errors import ProtocolError
from livehead.server.route import Route, goes_on
from livehead.server.tuning import hint_start_bitrate, tune_receiver
from livehead.sinks.encoding import Codec
from livehead.sinks.ice import NONE, IceServers, take_candidates, tune_addresses, without_false_ports
from livehead.sinks.sending import (
    UNREADABLE,
    agree_on_playout_delay,
    preferred_codecs,
    tune_sender,
)
from livehead.sinks.webrtc import Broadcast, Lane

log = logging.getLogger(__name__)

State = Literal["new", "connecting", "connected", "failed", "closed"]

_GONE_AFTER_S = 12.0  # a connection that is not made by then is given up
_CANDIDATES = 24  # addresses of the other side that are tried


class Peer:
    """``camera`` and ``microphone`` get the tracks that the other side sends; None where it may not send any.

    ``matte``: send the matte beside the colours. ``ice``: the servers that the way is found by.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        camera: PeerCamera | None = None,
        microphone: PeerMicrophone | None = None,
        *,
        matte: bool = False,
        ice: IceServers = NONE,
        on_state: Callable[[State], None] = lambda state: None,
    ) -> None:
        self._broadcast = broadcast
        self._matte = matte
        self._camera = camera
        self._microphone = microphone
        self._on_state = on_state
        self._lanes: list[Lane] = []
        self._ice = ice
        self._connection = RTCPeerConnection(ice.configuration())
        self._connection.on("track", self._plug)
        self._connection.on("connectionstatechange", self._changed)
        self._deadline: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._route: Route | None = None
        self._offer = ""
        self._rerouting = asyncio.Lock()
        self.closed = asyncio.Event()

    @property
    def state(self) -> State:
        """Of the connection."""
        return cast("State", self._connection.connectionState)

    async def answer(self, offer: str) -> str:
        """The SDP that answers ``offer``. Raises: ProtocolError when it is none, or offers nothing that we take."""
        offer = _reachable(offer)
        parts = _parts(offer)
        for number, part in enumerate(parts):
            transceiver = self._connection.addTransceiver(part.kind, "sendonly" if self._camera is None else "sendrecv")
            if number == 0:
                tune_addresses(transceiver)
                self._route = Route(transceiver.receiver.transport.transport, self._ice)
            tune_receiver(transceiver.receiver, part.kind)
            if part.kind == "video":
                transceiver.setCodecPreferences(preferred_codecs())
        try:
            await take_candidates(self._connection.getTransceivers()[0], parts)
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver, part in zip(self._connection.getTransceivers(), parts, strict=True):
                self._feed(transceiver, part)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except UNREADABLE as error:
            raise ProtocolError(f"the offer is not WebRTC's ({type(error).__name__})", "reload the page") from error
        except (InvalidAccessError, InvalidStateError, OperationError) as error:
            raise ProtocolError(f"the offer cannot be answered ({error})", "use a browser with H.264 or VP8") from error
        self._offer = offer
        self._deadline = asyncio.get_running_loop().call_later(_GONE_AFTER_S, self._give_up)
        return str(self._connection.localDescription.sdp)

    def goes_on_by(self, offer: str) -> bool:
        """Whether ``offer`` is of this very connection and wants another way for it: an ICE restart."""
        if not self._offer or self._route is None or self.state != "connected":
            return False
        try:
            return goes_on(offer, self._offer)
        except UNREADABLE:
            return False

    async def restart(self, offer: str) -> str:
        """Answer such an offer: a new way under the same pictures, which change to it when it works.

        Raises: ProtocolError.
        """
        assert self._route is not None
        [remote, *_] = _parts(_reachable(offer))
        async with self._rerouting:
            if self.state != "connected":
                raise ProtocolError("this connection has ended", "reload the page")
            await self._route.prepare()
            answer = self._route.describe(self._connection.localDescription.sdp)
            try:
                await self._route.begin(remote)
            except UNREADABLE as error:
                raise ProtocolError(f"the offer is not WebRTC's ({type(error).__name__})", "reload the page") from error
            return answer

    @property
    def restarts(self) -> int:
        """How often the way to the other side was replaced."""
        return 0 if self._route is None else self._route.changes

    def _feed(self, transceiver: RTCRtpTransceiver, part: MediaDescription) -> None:
        if part.direction not in ("recvonly", "sendrecv"):
            return  # a lane that nobody reads would fill, and ask for key frames at all viewers' cost
        if part.kind == "video":
            hint_start_bitrate(transceiver)
            agree_on_playout_delay(transceiver, part)
            codec: Codec = "H264" if transceiver._codecs[0].name.upper() == "H264" else "VP8"
            lane = self._broadcast.video_lane(codec, matte=self._matte)
        else:
            lane = self._broadcast.sound_lane()
        self._lanes.append(lane)
        transceiver.sender.replaceTrack(lane)
        tune_sender(transceiver.sender, lane)

    def _plug(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._camera is not None:
            self._camera.plug(track)
        elif track.kind == "audio" and self._microphone is not None:
            self._microphone.plug(track)

    def _changed(self) -> None:
        state = self.state
        log.debug("peer %s", state)
        self._on_state(state)
        if state == "connected" and self._deadline is not None:
            self._deadline.cancel()
        elif state in ("failed", "closed"):
            self._give_up()

    def _give_up(self) -> None:
        if self._closing is None and self.state != "connected":
            self._closing = asyncio.create_task(self.close())

    async def close(self) -> None:
        """End the connection; its lanes, threads and ports are free afterwards."""
        if self._deadline is not None:
            self._deadline.cancel()
        for lane in self._lanes:
            lane.stop()
        await self._connection.close()
        async with self._rerouting:
            if self._route is not None:
                await self._route.close()
        self.closed.set()


def _parts(offer: str) -> list[MediaDescription]:
    """The media that are offered. Raises: ProtocolError unless it is one picture and at most one sound."""
    try:
        session = SessionDescription.parse(offer)
    except UNREADABLE as error:
        raise ProtocolError(f"the offer is not SDP ({type(error).__name__})", "reload the page") from error
    parts, names = session.media, [part.rtp.muxId for part in session.media]
    bundled = [str(item) for group in session.group if group.semantic == "BUNDLE" for item in group.items]
    if not all(names) or sorted(names) != sorted(set(names)) or sorted(bundled) != sorted(names):
        raise ProtocolError("the parts of an offer have to be bundled", "use a browser of the last ten years")
    kinds = sorted(part.kind for part in parts)
    if kinds not in (["video"], ["audio", "video"]):
        told = ", ".join(kinds)[:60] or "nothing"
        raise ProtocolError(f"an offer has one picture and at most one sound, this one {told}", "reload the page")
    return list(parts)


def _reachable(offer: str) -> str:
    """``offer`` without the names that only multicast DNS resolves and the ports that no address has, and with few.

    Asking the network for a name takes a second and would be done at a stranger's wish. A browser that hides its
    addresses behind such names reaches ours, and is answered where it calls from.
    """
    lines = [line for line in without_false_ports(offer).splitlines() if line.strip()]
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    taken = {line for line in candidates if ".local " not in line.lower()}
    taken = {line for line in candidates if line in taken and candidates.index(line) < _CANDIDATES}
    kept = [line for line in lines if not line.startswith("a=candidate:") or line in taken]
    if not taken:  # more may come, by calling us
        kept = [line for line in kept if line.strip() != "a=end-of-candidates"]
    return "\r\n".join(kept) + "\r\n"
