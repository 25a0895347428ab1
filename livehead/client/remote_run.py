"""A run whose avatar a ``livehead serve`` elsewhere draws: motion goes there, its pictures come back to the sinks."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from livehead.assembly.live_avatar import resolve_driver_name
from livehead.assembly.media_endpoints import (
    count_microphone_channels,
    open_capture,
    open_microphone,
    open_sink,
    open_sound_output,
)
from livehead.audio.rates import SOUND_RATE
from livehead.audio.ring import AudioRingBuffer
from livehead.client.connection import ServerAddress
from livehead.client.remote_renderer import RemoteRenderer, SessionRequest
from livehead.codecs.letterbox import letterbox
from livehead.concurrency import Fifo
from livehead.config import RunSettings
from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError, root_cause
from livehead.frame_relay import FrameRelay
from livehead.frames import AudioFrame
from livehead.interfaces import Capture, Driver, DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.motion_source import DriverMotionSource
from livehead.motion_stages import TimedMotion
from livehead.perception.photo_formats import encode_jpeg, is_plain_still
from livehead.perception.portrait import Portrait
from livehead.performer_watch import NO_FACE_COUNTER, report_performer
from livehead.pipeline import Pipeline
from livehead.protocol import messages
from livehead.quality import QualityLevel
from livehead.registry import find_driver
from livehead.signals import stop_on_signals
from livehead.stats import StatsCollector, peak_memory_mb, process_uptime_s, summarize_ms

_MAX_TOKEN_LENGTH = 256
_COLOUR_PATTERN = re.compile(r"#[0-9a-fA-F]{6}")
_MAX_QUEUED_BLOCKS = 100  # blocks of sound that may wait
_DRAIN_S = 1.0  # after the end of a video, for pictures that are on their way


def check_remote_settings(settings: RunSettings) -> None:
    """Look for what a run cannot do whose avatar is drawn elsewhere. Raises: ConfigError."""
    driver = find_driver(resolve_driver_name(settings.driver, settings.model, settings.precision).partition(":")[0])
    if driver.needs_audio and driver.needs_camera:
        raise ConfigError("face and voice are told apart where the avatar is drawn", "choose --driver face or voice")
    if "window" in settings.sinks:
        raise ConfigError("the window's keys change what is drawn here", "choose another --sink with --render-at")


def read_token(path: Path | None) -> str:
    """The token of ``path``, else of the environment; it stands on no command line. Raises: ConfigError."""
    try:
        token = path.read_text(encoding="utf-8").strip() if path else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}", "give a file that holds the token alone") from error
    if len(token) > _MAX_TOKEN_LENGTH or not token.isprintable():
        raise ConfigError("the token is not one of livehead serve", "give a file that holds the token alone")
    return token


def build_session_request(settings: RunSettings, photo: Path) -> SessionRequest:
    """Build the request for the drawing machine's session. Raises: ConfigError for what it could not do."""
    background, backdrop = settings.picture.background, None
    if background not in ("keep", "blur") and not _COLOUR_PATTERN.fullmatch(background):
        if not Path(background).is_file():
            raise ConfigError(f"{background} is no image and no #rrggbb", "give one of the two with --render-at")
        background, backdrop = "image", _read_image_file(Path(background))
    wanted = messages.SettingsUpdate(
        model=None if settings.model == "auto" else settings.model,
        mode=settings.mode,
        gains=settings.gains,
        background=background,
        badge=settings.picture.badge,
    )
    return SessionRequest(wanted, _read_image_file(photo) if is_plain_still(photo) else None, backdrop)


def add_portrait(request: SessionRequest, portrait: Portrait) -> SessionRequest:
    """Have the drawing machine animate the same picture of a file, and the same face in it, as ``portrait`` shows.

    An ordinary still is sent as it is; of anything else, which a server might not read, the picture that was chosen.
    """
    several = len(portrait.face_boxes) > 1
    settings = request.settings.model_copy(update={"face": portrait.face_number if several else None})
    return replace(request, settings=settings, photo=request.photo or encode_jpeg(portrait.photo))


def _read_image_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", "give the path of an image") from error


class RecordingEstimator:
    """A driver whose motion is shown to ``on_motion`` too, on the driver's thread."""

    def __init__(self, driver: Driver[Keypoints], on_motion: Callable[[Keypoints], None] | None) -> None:
        self._driver = driver
        self._on_motion = on_motion

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """The driver's motion at ``inputs``."""
        motion = self._driver.estimate(inputs)
        if self._on_motion is not None:
            self._on_motion(motion)
        return motion


class MotionUplink:
    """A ``MotionConsumer`` that draws nothing: each motion goes to the machine that draws."""

    def __init__(self, send_motion: Callable[[Keypoints], None]) -> None:
        self._send_motion = send_motion

    async def __aenter__(self) -> MotionUplink:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The connection is the remote renderer's own; there is nothing to close."""

    async def consume(self, motion: TimedMotion) -> None:
        """Hand one motion on; the newest wins where the network is slow."""
        assert isinstance(motion.motion, Keypoints)
        self._send_motion(motion.motion)

    def set_quality(self, quality: QualityLevel) -> None:
        """Motion has no size, so that there is nothing to change."""


class AudioTee:
    """The driver's audio buffer, and a ``Capture`` of the same sound, so that one microphone serves both."""

    def __init__(self, audio_buffer: AudioRingBuffer) -> None:
        self._audio_buffer = audio_buffer
        self._queue: Fifo[AudioFrame] = Fifo(_MAX_QUEUED_BLOCKS)

    async def __aenter__(self) -> AudioTee:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the capture; the audio buffer needs no closing."""

    def put(self, frame: AudioFrame) -> None:
        self._audio_buffer.put(frame)
        self._queue.put(frame)

    def read_newest(self, now_ns: int) -> AudioFrame | None:
        return self._audio_buffer.read_newest(now_ns)

    async def recv(self) -> AudioFrame:
        return await self._queue.get()


class RemoteRenderRun:
    """One run: the driver here, the renderer elsewhere, and the sinks here, which get the microphone's sound too."""

    def __init__(
        self,
        settings: RunSettings,
        driver: Driver[Keypoints],
        address: ServerAddress,
        token: str,
        request: SessionRequest,
        *,
        notify: Callable[[str], None],
        on_motion: Callable[[Keypoints], None] | None = None,
    ) -> None:
        """``on_motion`` is called with each motion, to record it; ``notify`` with each line for the person."""
        stream = settings.stream
        self.settings = settings
        self.driver_name = resolve_driver_name(settings.driver, settings.model, settings.precision)
        self._notify = notify
        self.remote_renderer = RemoteRenderer(address, token, request, fps=stream.fps, report=notify)
        needs = find_driver(self.driver_name.partition(":")[0])
        stats, display_stats = StatsCollector(), StatsCollector()
        microphone: Capture | None = None
        if needs.needs_audio or settings.microphone:
            spec = settings.microphone or "default"
            microphone, channels = open_microphone(spec, SOUND_RATE, stats), count_microphone_channels(spec)
            stream = stream.model_copy(update={"audio_rate": SOUND_RATE, "audio_channels": channels})
        audio_tee: AudioTee | None = None
        if needs.needs_audio:
            audio_tee = AudioTee(AudioRingBuffer(on_gap=lambda: stats.count("sound.gaps")))
        source = DriverMotionSource(
            open_capture(settings.capture, settings.camera) if needs.needs_camera else None,
            RecordingEstimator(driver, on_motion),
            fps=stream.fps,
            audio_buffer=audio_tee,
            stats=stats,
        )
        self._performer_watch = source.performer_watch
        uplink = MotionUplink(self.remote_renderer.submit_motion)
        heard = microphone if needs.needs_audio else None
        self.tracking_pipeline = Pipeline(source, uplink, [], microphone=heard, audio_buffer=audio_tee, stats=stats)
        self.display_relay = FrameRelay(
            self.remote_renderer.camera,
            partial(letterbox, size=stream.size),
            [open_sink(sink, stream) for sink in settings.sinks],
            fps=stream.fps,
            microphone=audio_tee or microphone,
            sound_out=open_sound_output(settings.sound_out, SOUND_RATE, display_stats) if settings.sound_out else None,
            stats=display_stats,
        )
        self.first_picture_s: float | None = None
        """Seconds from the start of the program to the first picture that came back."""

    def stop(self) -> None:
        """End the run; callable from the event loop."""
        self.tracking_pipeline.stop()
        self.display_relay.stop()

    async def run(self, seconds: float | None = None) -> None:
        """Run until ``stop``, a signal, the capture's end or no sink is left. Raises: LiveheadError of any part."""
        stop_on_signals(self.stop, seconds)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(self.remote_renderer.run()),
                    group.create_task(self._report_first_picture()),
                    group.create_task(report_performer(self._performer_watch, self._notify)),
                ]
                tracking = group.create_task(self.tracking_pipeline.run())
                showing = group.create_task(self.display_relay.run())
                done, _ = await asyncio.wait((tracking, showing), return_when=asyncio.FIRST_COMPLETED)
                if tracking in done and not tracking.exception():
                    await asyncio.wait((showing,), timeout=_DRAIN_S)
                self.stop()
                await asyncio.wait((tracking, showing))
                for task in beside:
                    task.cancel()
        except ExceptionGroup as failures:
            raise root_cause(failures) from None

    async def _report_first_picture(self) -> None:
        await self.remote_renderer.camera.first_frame_received.wait()
        self.first_picture_s = process_uptime_s()
        self._notify(f"first picture after {self.first_picture_s:.2f} s")

    def summarize(self) -> str:
        """One line about a run that is over: motion sent, time to estimate it, pictures that came back."""
        remote = self.remote_renderer
        estimate = self.tracking_pipeline.stats.summarize_stages().get("estimate", summarize_ms([]))
        return (
            f"{remote.sent_packets} packets of motion sent ({remote.sent_bytes} bytes, {estimate['median']:.0f} ms to "
            f"estimate each), {remote.camera.received} pictures back"
        )

    def results(self) -> dict[str, Any]:
        """The run's figures for a report: times of each step, counts, start and memory."""
        remote, display = self.remote_renderer, self.display_relay.stats.summarize_stages()
        stages = self.tracking_pipeline.stats.summarize_stages()
        counts = {"packets": remote.sent_packets, "bytes": remote.sent_bytes, "pictures": remote.camera.received}
        return {
            "stages": {**stages, **{f"shown.{name}": figures for name, figures in display.items()}},
            "counts": counts | {"connections": remote.connection_count},
            "frames_without_face": self.tracking_pipeline.stats.read_counters().get(NO_FACE_COUNTER, 0),
            "first_picture_s": self.first_picture_s,
            "peak_mb": round(peak_memory_mb(), 1),
        }
