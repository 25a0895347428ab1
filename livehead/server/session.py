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

from livehead.audio.ring import SoundRing
from livehead.capture.webrtc import PeerCamera, PeerMicrophone
from livehead.clock import NS, now_ns
from livehead.concurrency import Worker
from livehead.config import ServeSettings
from livehead.errors import ConfigError, LiveheadError
from livehead.frames import Image
from livehead.governor import Governor, Quality
from livehead.interfaces import Capture, Sink
from livehead.pipeline import Pipeline
from livehead.server import protocol
from livehead.server.access import new_key
from livehead.server.connections import Connections
from livehead.server.journal import tell
from livehead.server.motion_feed import MotionFeed
from livehead.server.peer import Peer, State
from livehead.server.recorder import Recorder
from livehead.server.stage import IMAGE, Choice, Revue, Stage, Troupe
from livehead.sinks.h264 import Choice as EncoderChoice
from livehead.sinks.ice import NONE, IceServers
from livehead.sinks.provenance import Signer
from livehead.sinks.webrtc import Broadcast
from livehead.stats import Stats

log = logging.getLogger(__name__)

T = TypeVar("T")

_RECENT = 30  # frames that a figure is the median of
_SOUND_LATER_MS = 40.0  # until the page has told ...
_EVENNESS_MS = 15.0  # of delay at least: packets that come later than they should still go out in time
_REPORTS = 5  # ... the median of the newest of which counts


@dataclass(frozen=True, slots=True)
class Ends:
    """What stands at the two ends of a session's pipeline; a latency measurement puts its own before them."""

    capture: Callable[[Capture], Capture] = lambda capture: capture
    sink: Callable[[Sink], Sink] = lambda sink: sink


@dataclass(frozen=True, slots=True)
class Limits:
    """``sessions`` and ``viewers`` (of each) at a time; ``idle_s``: a session that nobody is connected to ends."""

    sessions: int = ServeSettings().sessions
    viewers: int = ServeSettings().viewers
    idle_s: float = ServeSettings().idle_s


@dataclass(frozen=True, slots=True)
class Terms:
    """What all sessions of a server have in common: ``size`` is the rendered square's at full quality, in pixels."""

    fps: float
    size: int
    limits: Limits = Limits()
    ends: Ends = Ends()
    encoder: EncoderChoice = "auto"
    ice: IceServers = NONE


class Session:
    """``run`` until ``close``; the stage is made before, on a thread.

    ``key`` opens its settings and uploads, ``viewer_key`` its picture. ``on_change`` is called when its state is new.
    ``number``: which session of its server it is, for the journal.
    """

    def __init__(self, stage: Stage, troupe: Troupe, terms: Terms, number: int = 0) -> None:
        self.key, self.viewer_key = new_key(), new_key()
        self.on_change: Callable[[], None] = lambda: None
        self.fps = terms.fps
        self.stats = Stats(keep=1024)
        self.camera = PeerCamera(terms.fps)
        self.broadcast = Broadcast(fps=terms.fps, stats=self.stats, encoder=terms.encoder)
        self.broadcast.delay_ms, self.broadcast.lead_ms = self._delay_ms, self._lead_ms
        self.busy = False
        self.trouble: LiveheadError | None = None
        """What went wrong by itself; whoever tells the page of it takes it away."""
        self.number = number
        self.reason = "failed"
        """Why it ends."""
        self._leaving = False
        self.ended = asyncio.Event()
        """Set when ``run`` is over."""
        self.used_ns = now_ns()
        self._sound_later: deque[float] = deque([_SOUND_LATER_MS], maxlen=_REPORTS)
        self._microphone = PeerMicrophone()
        self._revue = Revue(stage, lambda motion: self.connections.move(motion))
        self._troupe = troupe
        self._limits = terms.limits
        self._folder = tempfile.TemporaryDirectory(prefix="livehead-", ignore_cleanup_errors=True)
        self.recorder = Recorder(Path(self._folder.name), terms.fps, self._recording_ended, self._seal)
        self.governor = Governor(Quality(terms.size, 1, terms.fps), 1000 / terms.fps)
        self._pipeline = Pipeline(
            terms.ends.capture(self.camera),
            self._revue,
            [terms.ends.sink(self.broadcast), self.recorder],
            fps=terms.fps,
            microphone=self._microphone,
            ear=SoundRing(on_gap=lambda: self.stats.count("sound.gaps")),
            governor=self.governor,
            attended=self._attended,
            stats=self.stats,
        )
        self.connections = Connections(
            number, self.broadcast, self.camera, self._microphone, most=terms.limits.viewers, ice=terms.ice
        )
        self._preparing = Worker("prepare")
        self._changing = asyncio.Lock()
        self._last = (now_ns(), 0, 0)

    @property
    def choice(self) -> Choice:
        """The settings in force."""
        return self._revue.stage.choice

    async def run(self) -> None:
        """Play until ``close``. Raises: what the pipeline raises."""
        try:
            await self._pipeline.run()
        finally:
            self.ended.set()
            await self.connections.close()
            await asyncio.to_thread(self._preparing.close)  # an avatar may be in the making; other calls go on
            self._revue.close()
            self._folder.cleanup()

    def close(self, reason: str) -> None:
        """End ``run``; the journal tells the reason."""
        if not self._leaving:
            self.reason, self._leaving = reason, True
        self._pipeline.stop()

    def _attended(self) -> bool:
        return self.connections.used or self.broadcast.receivers > 0 or self.recorder.recording

    def idle(self, now: int) -> bool:
        """Whether nobody has been connected for as long as the limits say."""
        if self.connections.used:
            self.used_ns = now
        return now - self.used_ns > self._limits.idle_s * NS

    async def perform(self, offer: str, on_state: Callable[[State], None] = lambda state: None) -> str:
        """Answer the performer's offer. Raises: ProtocolError, ConfigError when the session has ended."""
        self._require_running()
        return await self.connections.perform(offer, on_state)

    async def watch(self, offer: str, *, transparent: bool = False) -> tuple[str, Peer]:
        """Answer a viewer's offer. Raises: ProtocolError, ConfigError when there are too many viewers or it ended."""
        self._require_running()
        return await self.connections.watch(offer, transparent=transparent)

    def feed(self, opening: bytes) -> MotionFeed:
        """For motion of another machine: the one that plays, when its opening is the same. Raises: ProtocolError."""
        playing = self.choice.feed
        if isinstance(playing, MotionFeed) and playing.opening == opening:
            playing.restart()
            return playing
        return MotionFeed(opening)

    async def take_motion(self, feed: MotionFeed) -> None:
        """Play ``feed`` in place of the camera. Raises: ConfigError when the model does not take that motion."""
        if self.choice.feed is not feed:
            await self._change(lambda choice: replace(choice, feed=feed))
        self.camera.plug(feed)

    async def set_portrait(self, pixels: Image) -> None:
        """Animate another photo. Raises: SourceError, NoFaceError."""
        self._require_running()
        portrait = await self._prepare(self._troupe.portrait, pixels)
        await self._change(lambda choice: replace(choice, portrait=portrait))

    async def set_backdrop(self, pixels: Image) -> None:
        """Show ``pixels`` behind the avatar. Raises: LiveheadError."""
        await self._change(lambda choice: replace(choice, backdrop=pixels, background=IMAGE))

    async def set(self, settings: protocol.Settings) -> None:
        """Take the settings that are given. Raises: ConfigError and what making the stage raises."""
        self._check(settings)
        if settings.gains is not None:
            self._revue.stage.set_gains(settings.gains)
        given: dict[str, object] = {
            name: value
            for name in ("driver", "model", "mode", "background", "badge")
            if (value := getattr(settings, name)) is not None and value != getattr(self.choice, name)
        }
        if settings.driver is not None and self.choice.feed is not None:
            given["feed"] = None
        if given:
            await self._change(lambda choice: replace(choice, **given))  # type: ignore[arg-type]
        self.on_change()

    def _check(self, settings: protocol.Settings) -> None:
        for kind, name, known in (
            ("driver", settings.driver, self._troupe.drivers),
            ("model", settings.model, self._troupe.models),
        ):
            if name is not None and name not in known:
                raise ConfigError(f"there is no such {kind} here", f"known are {', '.join(known)}")
        if settings.background == IMAGE and self.choice.backdrop is None:
            raise ConfigError("there is no background image yet", "choose one first")

    async def _change(self, edit: Callable[[Choice], Choice]) -> None:
        """Make the stage anew, in the background, and change to it."""
        async with self._changing:
            self.busy = True
            self.on_change()
            try:
                self._require_running()
                previous = self._revue.stage
                stage = await self._prepare(self._troupe.stage, edit(previous.choice), previous)
                if self.ended.is_set():  # the revue closes, or has closed, without this one
                    stage.close(previous)
                    raise _gone()
                self._revue.change(stage)
            finally:
                self.busy = False
                self.on_change()

    async def _prepare(self, make: Callable[..., T], *args: object) -> T:
        """``make(*args)`` on the thread. Raises: ConfigError if the session ends before its turn; what it raises."""
        call = await self._preparing.attempt(make, *args)
        if call.cancelled():
            raise _gone()
        return call.result()

    def _require_running(self) -> None:
        if self.ended.is_set() or self._leaving:
            raise _gone()

    def recalibrate(self) -> None:
        """Look for the performer's neutral face anew."""
        self._revue.stage.recalibrate()

    def set_playout(self, sound_later_ms: float) -> None:
        """How much longer than pictures the performer's browser just kept sound back; others are taken to be alike."""
        self._sound_later.append(sound_later_ms)

    def freeze(self, on: bool) -> None:
        """Hold the picture, or go on."""
        self._revue.frozen = on
        self.on_change()

    async def record(self, on: bool) -> None:
        """Start or end a recording. Raises: SinkError, ConfigError when the session has ended."""
        self._require_running()  # its folder goes with it
        try:
            await (self.recorder.start() if on else self.recorder.stop())
            tell("recording", session=self.number, on=on)
        finally:
            self.on_change()

    def _recording_ended(self, error: LiveheadError | None) -> None:
        self.trouble = error
        tell("recording", session=self.number, on=False, by=type(error).__name__ if error else "its length")
        self.on_change()

    def _seal(self, film: Path) -> None:
        Signer().seal(film, self.choice.model)

    def state(self) -> protocol.State:
        """For the page."""
        choice = self.choice
        return protocol.State(
            chosen=chosen(choice),
            hardware=self._revue.stage.hardware,
            avatar=choice.portrait.name,
            hints=choice.portrait.hints,
            frozen=self._revue.frozen,
            recording=self.recorder.recording,
            busy=self.busy,
        )

    def figures(self) -> protocol.Figures:
        """Of the time since the last call."""
        now, encoded, received = now_ns(), self.stats.counts().get("encoded", 0), self.camera.received
        since, encoded_before, received_before = self._last
        self._last = (now, encoded, received)
        seconds = max((now - since) / NS, 1e-3)
        return protocol.Figures(
            fps=round((encoded - encoded_before) / seconds, 1),
            camera_fps=round((received - received_before) / seconds, 1),
            driver_ms=self._median("estimate"),
            render_ms=self._median("draw"),
            encode_ms=self._median("encode"),
            total_ms=self._median("capture_to_wire"),
            dropped=self.camera.dropped,
            bitrate=self.broadcast.bitrate,
            receivers=self.broadcast.receivers,
            render_size=self.governor.quality.size,
        )

    def _median(self, stage: str) -> float:
        recent = self.stats.recent(stage, _RECENT)
        return round(statistics.median(recent), 1) if recent else 0.0

    def _delay_ms(self) -> float:
        return self._median("capture_to_wire")

    def _lead_ms(self) -> float:
        return min(statistics.median(self._sound_later), self._delay_ms() - _EVENNESS_MS)


def _gone() -> ConfigError:
    return ConfigError("this session has ended", "join again")


def chosen(choice: Choice) -> protocol.Chosen:
    """A choice as the page gets it."""
    return protocol.Chosen(
        driver=choice.driver,
        model=choice.model,
        mode=choice.mode,
        gains=choice.gains,
        background=choice.background,
        badge=choice.badge,
    )
