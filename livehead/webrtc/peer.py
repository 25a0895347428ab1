"""One WebRTC connection of the server: performers send camera and sound and get the avatar, viewers only get it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, cast

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import MediaDescription, SessionDescription

from livehead.errors import ProtocolError
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.encoded_track import EncodedTrack
from livehead.webrtc.ice import (
    NO_ICE_SERVERS,
    IceServers,
    add_remote_candidates,
    patch_transceiver_gathering,
)
from livehead.webrtc.ice_restart import RestartableIce, is_ice_restart
from livehead.webrtc.receiver_patches import hint_start_bitrate, patch_receiver
from livehead.webrtc.remote_tracks import RemoteAudioCapture, RemoteVideoCapture
from livehead.webrtc.sender_patches import (
    SDP_PARSE_ERRORS,
    attach_encoded_track,
    negotiate_playout_delay,
    negotiated_video_codec,
    preferred_codecs,
)

log = logging.getLogger(__name__)

PeerState = Literal["new", "connecting", "connected", "failed", "closed"]
MediaKind = Literal["audio", "video"]
ALL_KINDS: frozenset[MediaKind] = frozenset(("audio", "video"))

CONNECT_TIMEOUT_S = 12.0
"""How long a connection may take to be made before it is given up."""


class PeerConnection:
    """A connection that answers one offer and sends the other side what ``broadcast`` encodes.

    ``camera`` and ``microphone`` get the tracks that the other side sends; they are None where it may not send any.
    Only media of ``sent_kinds`` are ever sent, whatever an offer asks for. ``with_alpha`` sends the matte beside the
    colours. ``ice`` names the STUN and TURN servers. ``on_state`` is called
    with each new state.
    """

    def __init__(
        self,
        broadcast: BroadcastSink,
        camera: RemoteVideoCapture | None = None,
        microphone: RemoteAudioCapture | None = None,
        *,
        sent_kinds: frozenset[MediaKind] = ALL_KINDS,
        with_alpha: bool = False,
        ice: IceServers = NO_ICE_SERVERS,
        on_state: Callable[[PeerState], None] = lambda state: None,
    ) -> None:
        self._broadcast = broadcast
        self._sent_kinds = sent_kinds
        self._with_alpha = with_alpha
        self._camera = camera
        self._microphone = microphone
        self._on_state = on_state
        self._tracks: list[EncodedTrack] = []
        self._ice = ice
        self._connection = RTCPeerConnection(ice.rtc_configuration())
        self._connection.on("track", self._on_track)
        self._connection.on("connectionstatechange", self._on_connection_state)
        self._deadline: asyncio.TimerHandle | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._restartable_ice: RestartableIce | None = None
        self._remote_offer = ""
        self._restart_lock = asyncio.Lock()
        self.closed = asyncio.Event()

    @property
    def state(self) -> PeerState:
        """The WebRTC connection's state, as RTCPeerConnection names it."""
        return cast("PeerState", self._connection.connectionState)

    async def create_answer(self, offer: str) -> str:
        """Answer ``offer`` with SDP. Raises: ProtocolError when it is no offer, or offers nothing that we take."""
        parts = parse_media_sections(offer)
        for number, part in enumerate(parts):
            transceiver = self._connection.addTransceiver(part.kind, self._direction(part))
            if number == 0:
                patch_transceiver_gathering(transceiver)
                self._restartable_ice = RestartableIce(transceiver.receiver.transport.transport, self._ice)
            patch_receiver(transceiver.receiver, part.kind)
            if part.kind == "video":
                transceiver.setCodecPreferences(preferred_codecs())
        try:
            await add_remote_candidates(self._connection.getTransceivers()[0], parts)
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver, part in zip(self._connection.getTransceivers(), parts, strict=True):
                self._attach_sender(transceiver, part)
            if self._camera is None and not self._tracks:
                raise ProtocolError("the offer asks for nothing that may be sent", "ask for the picture or the sound")
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except SDP_PARSE_ERRORS as error:
            raise ProtocolError(f"the offer is not WebRTC's ({type(error).__name__})", "reload the page") from error
        except (InvalidAccessError, InvalidStateError, OperationError) as error:
            raise ProtocolError(f"the offer cannot be answered ({error})", "use a browser with H.264 or VP8") from error
        self._remote_offer = offer
        self._deadline = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_S, self._close_unless_connected)
        return str(self._connection.localDescription.sdp)

    def wants_ice_restart(self, offer: str) -> bool:
        """Tell whether ``offer`` belongs to this very connection and asks for an ICE restart."""
        if not self._remote_offer or self._restartable_ice is None or self.state != "connected":
            return False
        try:
            return is_ice_restart(offer, self._remote_offer)
        except SDP_PARSE_ERRORS:
            return False

    async def restart_ice(self, offer: str) -> str:
        """Answer an offer that asks for an ICE restart; media move to the new path when it works.

        Raises: ProtocolError.
        """
        assert self._restartable_ice is not None
        [remote, *_] = parse_media_sections(offer)
        async with self._restart_lock:
            if self.state != "connected":
                raise ProtocolError("this connection has ended", "reload the page")
            await self._restartable_ice.gather_candidates()
            answer = self._restartable_ice.rewrite_sdp(self._connection.localDescription.sdp)
            try:
                await self._restartable_ice.start_checks(remote)
            except SDP_PARSE_ERRORS as error:
                raise ProtocolError(f"the offer is not WebRTC's ({type(error).__name__})", "reload the page") from error
            return answer

    @property
    def ice_restart_count(self) -> int:
        """How often an ICE restart has replaced the path to the other side."""
        return 0 if self._restartable_ice is None else self._restartable_ice.restart_count

    def _direction(self, part: MediaDescription) -> str:
        sends, receives = part.kind in self._sent_kinds, self._camera is not None
        return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
            (sends, receives), "inactive"
        )

    def _attach_sender(self, transceiver: RTCRtpTransceiver, part: MediaDescription) -> None:
        if part.kind not in self._sent_kinds or part.direction not in ("recvonly", "sendrecv"):
            return  # a track that nobody reads would fill, and ask for key frames at all viewers' cost
        if part.kind == "video":
            hint_start_bitrate(transceiver)
            negotiate_playout_delay(transceiver, part)
            codec, is_owner = negotiated_video_codec(transceiver), self._camera is not None
            track = self._broadcast.add_video_track(codec, with_alpha=self._with_alpha, is_owner=is_owner)
        else:
            track = self._broadcast.add_audio_track()
        self._tracks.append(track)
        transceiver.sender.replaceTrack(track)
        attach_encoded_track(transceiver.sender, track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._camera is not None:
            self._camera.attach_track(track)
        elif track.kind == "audio" and self._microphone is not None:
            self._microphone.attach_track(track)

    def _on_connection_state(self) -> None:
        state = self.state
        log.debug("peer %s", state)
        self._on_state(state)
        if state == "connected" and self._deadline is not None:
            self._deadline.cancel()
        elif state in ("failed", "closed"):
            self._close_unless_connected()

    def _close_unless_connected(self) -> None:
        if self._close_task is None and self.state != "connected":
            self._close_task = asyncio.create_task(self.close())

    async def close(self) -> None:
        """End the connection; its tracks, threads and ports are free afterwards."""
        if self._deadline is not None:
            self._deadline.cancel()
        for track in self._tracks:
            track.stop()
        await self._connection.close()
        async with self._restart_lock:
            if self._restartable_ice is not None:
                await self._restartable_ice.close()
        self.closed.set()


def parse_media_sections(offer: str) -> list[MediaDescription]:
    """The media sections of ``offer``. Raises: ProtocolError unless they are at most one video and one audio."""
    try:
        session = SessionDescription.parse(offer)
    except SDP_PARSE_ERRORS as error:
        raise ProtocolError(f"the offer is not SDP ({type(error).__name__})", "reload the page") from error
    parts, names = session.media, [part.rtp.muxId for part in session.media]
    bundled = [str(item) for group in session.group if group.semantic == "BUNDLE" for item in group.items]
    if not all(names) or sorted(names) != sorted(set(names)) or sorted(bundled) != sorted(names):
        raise ProtocolError("the parts of an offer have to be bundled", "use a browser of the last ten years")
    kinds = sorted(part.kind for part in parts)
    if kinds not in (["audio"], ["video"], ["audio", "video"]):
        found = ", ".join(kinds)[:60] or "nothing"
        raise ProtocolError(
            f"an offer has at most one picture and one sound, this one has {found}", "offer one of each, or one of them"
        )
    return list(parts)
