"""One performer with one avatar: a pipeline that goes on while connections come and go."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from livehead.assembly.avatar_runtime import AvatarFactory, AvatarRuntime, AvatarSettings, SwitchableAnimator
from livehead.audio.ring import AudioRingBuffer
from livehead.clock import NS, now_ns
from livehead.drivers.network import NetworkMotionSource
from livehead.errors import LiveheadError
from livehead.frame_relay import FrameRelay, resize_image
from livehead.motion_consumer import AnimatorConsumer
from livehead.motion_source import DriverMotionSource
from livehead.pipeline import Pipeline
from livehead.protocol import messages
from livehead.quality import QualityController, QualityLevel
from livehead.server.access import generate_key
from livehead.server.avatar_switcher import AvatarSwitcher, session_ended_error
from livehead.server.connections import SessionConnections
from livehead.server.event_log import log_event
from livehead.server.motion_input import SwitchableMotionSource
from livehead.server.recorder import SessionRecorder
from livehead.server.session_defaults import EndpointWrappers, SessionDefaults
from livehead.server.session_stats import MAX_TIMINGS, PlayoutTiming, SessionStatsSampler
from livehead.sinks.provenance import ManifestSigner
from livehead.stats import StatsCollector
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.peer import ALL_KINDS, CONNECT_TIMEOUT_S, MediaKind, PeerConnection, PeerState
from livehead.webrtc.remote_tracks import RemoteAudioCapture, RemoteVideoCapture

log = logging.getLogger(__name__)


class Session:
    """A performer's session: ``run`` plays it until ``close``; its avatar ``runtime`` is built before, on a thread.

    ``key`` opens its settings and uploads, ``viewer_key`` its picture. ``number`` says which session of its server it
    is, for the event log. ``stats`` takes what the session counts and times.
    """

    def __init__(
        self,
        runtime: AvatarRuntime,
        avatar_factory: AvatarFactory,
        defaults: SessionDefaults,
        number: int = 0,
        stats: StatsCollector | None = None,
    ) -> None:
        self.number, self.key, self.viewer_key = number, generate_key(), generate_key()
        self.fps = defaults.fps
        self.stats = stats or StatsCollector(max_timings=MAX_TIMINGS)
        self.playout_timing = PlayoutTiming(self.stats)
        self.camera = RemoteVideoCapture(defaults.fps)
        self.broadcast = BroadcastSink(
            fps=defaults.fps,
            stats=self.stats,
            encoder=defaults.encoder,
            delay_ms=self.playout_timing.video_latency_ms,
            audio_lead_ms=self.playout_timing.audio_lead_ms,
        )
        self.close_reason = "failed"
        """Why the session ends, for the event log."""
        self.ended = asyncio.Event()
        """Set when ``run`` is over."""
        self._closing = False
        self._on_change: Callable[[], None] = _do_nothing
        self._pending_error: LiveheadError | None = None
        self._last_used_ns = self._last_connected_ns = now_ns()
        self._microphone, self._idle_limit_s = RemoteAudioCapture(), defaults.limits.idle_s
        self._animator = SwitchableAnimator(runtime, lambda motion: self.connections.publish_motion(motion))
        self._recordings_folder = tempfile.TemporaryDirectory(dir=defaults.folder, ignore_cleanup_errors=True)
        self.recorder = SessionRecorder(
            Path(self._recordings_folder.name), defaults.fps, self._on_recording_ended, self._sign_recording
        )
        self.quality_controller = QualityController(QualityLevel(defaults.size, 1, defaults.fps), 1000 / defaults.fps)
        self._motion_source, self._media_loop = self._build_media_loop(defaults.endpoint_wrappers)
        self.connections = SessionConnections(
            number, self.broadcast, self.camera, self._microphone, max_viewers=defaults.limits.viewers, ice=defaults.ice
        )
        self.stats_sampler = SessionStatsSampler(
            self.stats, self.camera, self.broadcast, self.quality_controller, self._motion_source.performer_watch
        )
        self.avatar_switcher = AvatarSwitcher(
            self._animator,
            avatar_factory,
            ended=self.ended,
            require_running=self._require_running,
            on_change=self._notify_page,
            release_feed=lambda: self._motion_source.attach_feed(None),
        )

    def _build_media_loop(self, wrappers: EndpointWrappers) -> tuple[SwitchableMotionSource, Pipeline | FrameRelay]:
        """Build what runs between the publisher's tracks and the sinks; its source takes a network feed too."""
        audio_buffer = AudioRingBuffer(on_gap=lambda: self.stats.count("sound.gaps"))
        camera, sinks = wrappers.capture(self.camera), [wrappers.sink(self.broadcast), self.recorder]
        camera_source = DriverMotionSource(
            camera,
            self._animator,
            fps=self.fps,
            audio_buffer=audio_buffer,
            has_consumers=self._camera_drives,
            stats=self.stats,
        )
        source = SwitchableMotionSource(camera_source, self._animator.tag)
        if wrappers.relay_size is not None:
            fit = partial(resize_image, size=wrappers.relay_size)
            return source, FrameRelay(camera, fit, sinks, fps=self.fps, microphone=self._microphone, stats=self.stats)
        return source, Pipeline(
            source,
            AnimatorConsumer(self._animator, self.stats),
            sinks,
            microphone=self._microphone,
            audio_buffer=audio_buffer,
            quality_controller=self.quality_controller,
            stats=self.stats,
        )

    @property
    def avatar_settings(self) -> AvatarSettings:
        """The settings of the avatar that plays."""
        return self.avatar_switcher.settings

    async def run(self) -> None:
        """Play until ``close`` is called. Raises: CaptureError, SinkError, as the pipeline does."""
        try:
            await self._media_loop.run()
        finally:
            self.ended.set()
            await self.connections.close()
            await self.avatar_switcher.close()
            self._recordings_folder.cleanup()

    def close(self, reason: str) -> None:
        """End ``run``; the event log gets the first reason."""
        if not self._closing:
            self.close_reason, self._closing = reason, True
        self._media_loop.stop()

    def _camera_drives(self) -> bool:
        """Whether the driver has to look at the camera: somebody takes the pictures, and no feed moves the avatar."""
        return self._motion_source.feed is None and self._has_consumers()

    def _has_consumers(self) -> bool:
        return self.connections.in_use or self.broadcast.receiver_count > 0 or self.recorder.recording

    def is_idle(self, now: int) -> bool:
        """Tell whether nobody has been connected for as long as the limits say."""
        self.unconnected_ns(now)
        if self.connections.in_use:
            self._last_used_ns = now
        return now - self._last_used_ns > self._idle_limit_s * NS

    @property
    def closing(self) -> bool:
        """Tells whether the session was told to end, so that its place is free in a moment."""
        return self._closing

    def unconnected_ns(self, now: int) -> int:
        """How long nobody has been connected, as far as was looked at: 0 while somebody is."""
        if self.connections.connected:
            self._last_connected_ns = now
        return now - self._last_connected_ns

    def may_give_way(self, now: int) -> bool:
        """Tell whether nobody has this session, so that another may take its place when there is no other.

        One whose page is there, or whose connection is being made, has the time that a connection may take.
        """
        unconnected_ns = self.unconnected_ns(now)
        if not unconnected_ns or self.recorder.recording:
            return False
        held = self._on_change is not _do_nothing or self.connections.in_use
        return not held or unconnected_ns > CONNECT_TIMEOUT_S * NS

    async def accept_publisher(self, offer: str, on_state: Callable[[PeerState], None] = lambda state: None) -> str:
        """Answer the performer's offer with SDP. Raises: ProtocolError, SessionError when the session has ended."""
        self._require_running()
        return await self.connections.accept_publisher(offer, on_state)

    async def accept_viewer(
        self, offer: str, *, transparent: bool = False, sent_kinds: frozenset[MediaKind] = ALL_KINDS
    ) -> tuple[str, PeerConnection]:
        """Answer a viewer's offer with SDP, and give the connection, which sends media of ``sent_kinds`` only.

        Raises: ProtocolError, SessionError when there are too many viewers or the session has ended.
        """
        self._require_running()
        return await self.connections.accept_viewer(offer, transparent=transparent, sent_kinds=sent_kinds)

    def motion_input(self, header: bytes) -> NetworkMotionSource:
        """The input for motion of another machine: the one in use if ``header`` is its own. Raises: ProtocolError."""
        playing = self.avatar_settings.feed
        if playing is not None and playing.header == header:
            playing.restart_decoder()
            return playing
        return NetworkMotionSource(header, fps=self.fps)

    async def use_motion_input(self, feed: NetworkMotionSource) -> None:
        """Play ``feed`` in place of the camera. Raises: ConfigError when the model does not take such motion."""
        await self.avatar_switcher.use_feed(feed)
        self._motion_source.attach_feed(feed)

    def _require_running(self) -> None:
        if self.ended.is_set() or self._closing:
            raise session_ended_error()

    async def set_recording(self, on: bool) -> None:
        """Start or end a recording. Raises: SinkError, SessionError when the session has ended."""
        self._require_running()  # its folder goes with it
        try:
            await (self.recorder.start() if on else self.recorder.stop())
            log_event("recording", session=self.number, on=on)
        finally:
            self._notify_page()

    def _on_recording_ended(self, error: LiveheadError | None) -> None:
        self._pending_error = error
        log_event("recording", session=self.number, on=False, by=type(error).__name__ if error else "its length")
        self._notify_page()

    def _sign_recording(self, path: Path) -> None:
        ManifestSigner().sign_if_possible(path, self.avatar_settings.model)

    def get_state(self) -> messages.SessionState:
        """The session's state as its page shows it."""
        settings = self.avatar_settings
        return messages.SessionState(
            chosen=to_current_settings(settings),
            hardware=self.avatar_switcher.hardware,
            avatar=settings.portrait.name,
            hints=settings.portrait.hints,
            faces=self.avatar_switcher.face_boxes,
            face=settings.portrait.face_number,
            frozen=self.avatar_switcher.frozen,
            recording=self.recorder.recording,
            busy=self.avatar_switcher.busy,
        )

    @contextmanager
    def notify_page(self, on_change: Callable[[], None]) -> Iterator[None]:
        """Call ``on_change`` when the state is new, until the block is left or a newer page takes over."""
        self._on_change = on_change
        try:
            yield
        finally:
            if self._on_change is on_change:
                self._on_change = _do_nothing

    def _notify_page(self) -> None:
        self._on_change()

    def take_pending_error(self) -> LiveheadError | None:
        """The error that ended a recording by itself, once; None when there is none that has not been taken."""
        error, self._pending_error = self._pending_error, None
        return error


def _do_nothing() -> None:
    """Stand in for a page that is not there."""


def to_current_settings(settings: AvatarSettings) -> messages.CurrentSettings:
    """The settings in the form of a message to the page."""
    return messages.CurrentSettings(
        driver=settings.driver,
        model=settings.model,
        mode=settings.mode,
        gains=settings.gains,
        background=settings.background,
        badge=settings.badge,
    )
