"""One performer with one avatar: a pipeline that goes on while connections come and go, and what watches it."""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from livehead.audio.ring import AudioRingBuffer
from livehead.clock import NS, now_ns
from livehead.codecs.h264 import EncoderChoice as EncoderChoice
from livehead.concurrency import Worker
from livehead.config import ServeSettings
from livehead.drivers.network import MotionFeed
from livehead.errors import ConfigError, LiveheadError
from livehead.frames import Image
from livehead.interfaces import Capture, Sink
from livehead.pipeline import Pipeline
from livehead.protocol import messages
from livehead.quality import QualityController, QualityLevel
from livehead.server.access import generate_key
from livehead.server.avatar_runtime import (
    IMAGE_BACKGROUND,
    AvatarFactory,
    AvatarRuntime,
    AvatarSettings,
    SwitchableAnimator,
)
from livehead.server.connections import SessionConnections
from livehead.server.event_log import log_event
from livehead.server.recorder import SessionRecorder
from livehead.sinks.provenance import ManifestSigner
from livehead.stats import StatsCollector
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.ice import NO_ICE_SERVERS, IceServers
from livehead.webrtc.peer import PeerConnection, PeerState
from livehead.webrtc.remote_tracks import RemoteAudioCapture, RemoteVideoCapture

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_MEDIAN_WINDOW = 30  # frames that a figure is the median of
_DEFAULT_PLAYOUT_DELAY_MS = 40.0  # until the page has told ...
_MIN_AUDIO_DELAY_MS = 15.0  # of delay at least: packets that come later than they should still go out in time
_PLAYOUT_WINDOW = 5  # ... the median of the newest of which counts


@dataclass(frozen=True, slots=True)
class EndpointWrappers:
    """What stands at the two ends of a session's pipeline; a latency measurement puts its own before them."""

    capture: Callable[[Capture], Capture] = lambda capture: capture
    sink: Callable[[Sink], Sink] = lambda sink: sink


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """``sessions`` and ``viewers`` (of each) at a time; ``idle_s``: a session that nobody is connected to ends."""

    sessions: int = ServeSettings().sessions
    viewers: int = ServeSettings().viewers
    idle_s: float = ServeSettings().idle_s


@dataclass(frozen=True, slots=True)
class SessionDefaults:
    """What all sessions of a server have in common: ``size`` is the rendered square's at full quality, in pixels."""

    fps: float
    size: int
    limits: SessionLimits = SessionLimits()
    endpoint_wrappers: EndpointWrappers = EndpointWrappers()
    encoder: EncoderChoice = "auto"
    ice: IceServers = NO_ICE_SERVERS


class Session:
    """``run`` until ``close``; the stage is made before, on a thread.

    ``key`` opens its settings and uploads, ``viewer_key`` its picture. ``on_change`` is called when its state is new.
    ``number``: which session of its server it is, for the journal.
    """

    def __init__(
        self, runtime: AvatarRuntime, avatar_factory: AvatarFactory, defaults: SessionDefaults, number: int = 0
    ) -> None:
        self.key, self.viewer_key = generate_key(), generate_key()
        self.on_change: Callable[[], None] = lambda: None
        self.fps = defaults.fps
        self.stats = StatsCollector(max_timings=1024)
        self.camera = RemoteVideoCapture(defaults.fps)
        self.broadcast = BroadcastSink(fps=defaults.fps, stats=self.stats, encoder=defaults.encoder)
        self.broadcast.delay_ms, self.broadcast.audio_lead_ms = self._video_latency_ms, self._audio_lead_ms
        self.busy = False
        self.pending_error: LiveheadError | None = None
        """What went wrong by itself; whoever tells the page of it takes it away."""
        self.number = number
        self.close_reason = "failed"
        """Why it ends."""
        self._closing = False
        self.ended = asyncio.Event()
        """Set when ``run`` is over."""
        self.last_used_ns = now_ns()
        self._playout_delays_ms: deque[float] = deque([_DEFAULT_PLAYOUT_DELAY_MS], maxlen=_PLAYOUT_WINDOW)
        self._microphone = RemoteAudioCapture()
        self._animator = SwitchableAnimator(runtime, lambda motion: self.connections.publish_motion(motion))
        self._avatar_factory = avatar_factory
        self._limits = defaults.limits
        self._recordings_folder = tempfile.TemporaryDirectory(prefix="livehead-", ignore_cleanup_errors=True)
        self.recorder = SessionRecorder(
            Path(self._recordings_folder.name), defaults.fps, self._on_recording_ended, self._sign_recording
        )
        self.quality_controller = QualityController(QualityLevel(defaults.size, 1, defaults.fps), 1000 / defaults.fps)
        self._pipeline = Pipeline.from_animator(
            defaults.endpoint_wrappers.capture(self.camera),
            self._animator,
            [defaults.endpoint_wrappers.sink(self.broadcast), self.recorder],
            fps=defaults.fps,
            microphone=self._microphone,
            audio_buffer=AudioRingBuffer(on_gap=lambda: self.stats.count("sound.gaps")),
            quality_controller=self.quality_controller,
            has_consumers=self._has_consumers,
            stats=self.stats,
        )
        self.connections = SessionConnections(
            number, self.broadcast, self.camera, self._microphone, max_viewers=defaults.limits.viewers, ice=defaults.ice
        )
        self._prepare_worker = Worker("prepare")
        self._change_lock = asyncio.Lock()
        self._last_counts = (now_ns(), 0, 0)

    @property
    def avatar_settings(self) -> AvatarSettings:
        """The settings in force."""
        return self._animator.runtime.settings

    async def run(self) -> None:
        """Play until ``close``. Raises: what the pipeline raises."""
        try:
            await self._pipeline.run()
        finally:
            self.ended.set()
            await self.connections.close()
            await asyncio.to_thread(self._prepare_worker.close)  # an avatar may be in the making; other calls go on
            self._animator.close()
            self._recordings_folder.cleanup()

    def close(self, reason: str) -> None:
        """End ``run``; the journal tells the reason."""
        if not self._closing:
            self.close_reason, self._closing = reason, True
        self._pipeline.stop()

    def _has_consumers(self) -> bool:
        return self.connections.in_use or self.broadcast.receiver_count > 0 or self.recorder.recording

    def is_idle(self, now: int) -> bool:
        """Whether nobody has been connected for as long as the limits say."""
        if self.connections.in_use:
            self.last_used_ns = now
        return now - self.last_used_ns > self._limits.idle_s * NS

    async def accept_publisher(self, offer: str, on_state: Callable[[PeerState], None] = lambda state: None) -> str:
        """Answer the performer's offer. Raises: ProtocolError, ConfigError when the session has ended."""
        self._require_running()
        return await self.connections.accept_publisher(offer, on_state)

    async def accept_viewer(self, offer: str, *, transparent: bool = False) -> tuple[str, PeerConnection]:
        """Answer a viewer's offer. Raises: ProtocolError, ConfigError when there are too many viewers or it ended."""
        self._require_running()
        return await self.connections.accept_viewer(offer, transparent=transparent)

    def motion_input(self, header: bytes) -> MotionFeed:
        """For motion of another machine: the one that plays, when its opening is the same. Raises: ProtocolError."""
        playing = self.avatar_settings.feed
        if isinstance(playing, MotionFeed) and playing.header == header:
            playing.restart_reader()
            return playing
        return MotionFeed(header)

    async def use_motion_input(self, feed: MotionFeed) -> None:
        """Play ``feed`` in place of the camera. Raises: ConfigError when the model does not take that motion."""
        if self.avatar_settings.feed is not feed:
            await self._rebuild_avatar(lambda choice: replace(choice, feed=feed))
        self.camera.attach_track(feed)

    async def set_portrait(self, pixels: Image) -> None:
        """Animate another photo. Raises: SourceError, NoFaceError."""
        self._require_running()
        portrait = await self._run_on_worker(self._avatar_factory.prepare_portrait, pixels)
        await self._rebuild_avatar(lambda choice: replace(choice, portrait=portrait))

    async def set_backdrop(self, pixels: Image) -> None:
        """Show ``pixels`` behind the avatar. Raises: LiveheadError."""
        await self._rebuild_avatar(lambda choice: replace(choice, backdrop=pixels, background=IMAGE_BACKGROUND))

    async def update_settings(self, settings: messages.SettingsUpdate) -> None:
        """Take the settings that are given. Raises: ConfigError and what making the stage raises."""
        self._check_settings(settings)
        if settings.gains is not None:
            self._animator.runtime.set_gains(settings.gains)
        given: dict[str, object] = {
            name: value
            for name in ("driver", "model", "mode", "background", "badge")
            if (value := getattr(settings, name)) is not None and value != getattr(self.avatar_settings, name)
        }
        if settings.driver is not None and self.avatar_settings.feed is not None:
            given["feed"] = None
        if given:
            await self._rebuild_avatar(lambda choice: replace(choice, **given))  # type: ignore[arg-type]
        self.on_change()

    def _check_settings(self, settings: messages.SettingsUpdate) -> None:
        for kind, name, known in (
            ("driver", settings.driver, self._avatar_factory.drivers),
            ("model", settings.model, self._avatar_factory.models),
        ):
            if name is not None and name not in known:
                raise ConfigError(f"there is no such {kind} here", f"known are {', '.join(known)}")
        if settings.background == IMAGE_BACKGROUND and self.avatar_settings.backdrop is None:
            raise ConfigError("there is no background image yet", "choose one first")

    async def _rebuild_avatar(self, edit: Callable[[AvatarSettings], AvatarSettings]) -> None:
        """Make the stage anew, in the background, and change to it."""
        async with self._change_lock:
            self.busy = True
            self.on_change()
            try:
                self._require_running()
                previous = self._animator.runtime
                stage = await self._run_on_worker(
                    self._avatar_factory.create_runtime, edit(previous.settings), previous
                )
                if self.ended.is_set():  # the revue closes, or has closed, without this one
                    stage.close(previous)
                    raise _session_ended_error()
                self._animator.switch_to(stage)
            finally:
                self.busy = False
                self.on_change()

    async def _run_on_worker(self, fn: Callable[..., ResultT], *args: object) -> ResultT:
        """``make(*args)`` on the thread. Raises: ConfigError if the session ends before its turn; what it raises."""
        call = await self._prepare_worker.submit_and_wait(fn, *args)
        if call.cancelled():
            raise _session_ended_error()
        return call.result()

    def _require_running(self) -> None:
        if self.ended.is_set() or self._closing:
            raise _session_ended_error()

    def recalibrate(self) -> None:
        """Look for the performer's neutral face anew."""
        self._animator.runtime.recalibrate()

    def set_playout_delay(self, sound_later_ms: float) -> None:
        """How much longer than pictures the performer's browser just kept sound back; others are taken to be alike."""
        self._playout_delays_ms.append(sound_later_ms)

    def set_frozen(self, on: bool) -> None:
        """Hold the picture, or go on."""
        self._animator.frozen = on
        self.on_change()

    async def set_recording(self, on: bool) -> None:
        """Start or end a recording. Raises: SinkError, ConfigError when the session has ended."""
        self._require_running()  # its folder goes with it
        try:
            await (self.recorder.start() if on else self.recorder.stop())
            log_event("recording", session=self.number, on=on)
        finally:
            self.on_change()

    def _on_recording_ended(self, error: LiveheadError | None) -> None:
        self.pending_error = error
        log_event("recording", session=self.number, on=False, by=type(error).__name__ if error else "its length")
        self.on_change()

    def _sign_recording(self, path: Path) -> None:
        ManifestSigner().sign_if_possible(path, self.avatar_settings.model)

    def get_state(self) -> messages.SessionState:
        """For the page."""
        choice = self.avatar_settings
        return messages.SessionState(
            chosen=to_current_settings(choice),
            hardware=self._animator.runtime.hardware,
            avatar=choice.portrait.name,
            hints=choice.portrait.hints,
            frozen=self._animator.frozen,
            recording=self.recorder.recording,
            busy=self.busy,
        )

    def get_stats(self) -> messages.SessionStats:
        """Of the time since the last call."""
        now, encoded, received = now_ns(), self.stats.read_counters().get("encoded", 0), self.camera.received
        since, encoded_before, received_before = self._last_counts
        self._last_counts = (now, encoded, received)
        seconds = max((now - since) / NS, 1e-3)
        return messages.SessionStats(
            fps=round((encoded - encoded_before) / seconds, 1),
            camera_fps=round((received - received_before) / seconds, 1),
            driver_ms=self._recent_median_ms("estimate"),
            render_ms=self._recent_median_ms("draw"),
            encode_ms=self._recent_median_ms("encode"),
            total_ms=self._recent_median_ms("capture_to_wire"),
            dropped=self.camera.dropped,
            bitrate=self.broadcast.total_bitrate,
            receivers=self.broadcast.receiver_count,
            render_size=self.quality_controller.quality.size,
        )

    def _recent_median_ms(self, stage: str) -> float:
        recent = self.stats.recent_timings(stage, _MEDIAN_WINDOW)
        return round(statistics.median(recent), 1) if recent else 0.0

    def _video_latency_ms(self) -> float:
        return self._recent_median_ms("capture_to_wire")

    def _audio_lead_ms(self) -> float:
        return min(statistics.median(self._playout_delays_ms), self._video_latency_ms() - _MIN_AUDIO_DELAY_MS)


def _session_ended_error() -> ConfigError:
    return ConfigError("this session has ended", "join again")


def to_current_settings(settings: AvatarSettings) -> messages.CurrentSettings:
    """A choice as the page gets it."""
    return messages.CurrentSettings(
        driver=settings.driver,
        model=settings.model,
        mode=settings.mode,
        gains=settings.gains,
        background=settings.background,
        badge=settings.badge,
    )
