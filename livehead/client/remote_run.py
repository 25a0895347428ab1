"""``livehead run --render-at``: track here, draw at a ``livehead serve`` elsewhere, show here what comes back."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from livehead.assembly.live_avatar import make_driver, open_portraits, resolve_driver_name
from livehead.assembly.media_endpoints import open_capture, open_microphone, open_sink, open_sound_output
from livehead.audio.ring import AudioRingBuffer
from livehead.avatars.cache import AvatarCache
from livehead.cli_options import print_status, settings_from_args
from livehead.client.connection import ServerAddress
from livehead.client.remote_renderer import RemoteRenderer, SessionRequest
from livehead.commands.run import CAMERALESS_DRIVERS, SOUND_RATE, VOICE_DRIVERS
from livehead.concurrency import Fifo
from livehead.config import RunSettings
from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Capture, Driver, DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.pipeline import Pipeline
from livehead.protocol import messages
from livehead.protocol.motion_file import MotionRecorder
from livehead.quality import QualityLevel
from livehead.signals import stop_on_signals
from livehead.stats import StatsCollector, peak_memory_mb, process_uptime_s, summarize_ms

_MAX_TOKEN_LENGTH = 256
_COLOUR_PATTERN = re.compile(r"#[0-9a-fA-F]{6}")
_MAX_QUEUED_BLOCKS = 100  # blocks that may wait
_DRAIN_S = 1.0  # after the end of a video, for what is on its way


def render_at(args: argparse.Namespace) -> int:
    """Until Ctrl-C, the end of the video or ``--seconds``. Raises: ConfigError and what its parts raise."""
    settings = settings_from_args(args)
    if args.profile:
        raise ConfigError("a profile holds what the drawing machine keeps", "leave --profile or --render-at out")
    spec = resolve_driver_name(settings.driver, settings.model, settings.precision)
    if settings.sound_out and not settings.microphone and spec not in VOICE_DRIVERS:
        raise ConfigError("there is no sound to pass on", "name a microphone with --microphone")
    if spec == "face+voice":
        raise ConfigError("face and voice are told apart where the avatar is drawn", "choose --driver face or voice")
    if "window" in settings.sinks:
        raise ConfigError("the window's keys change what is drawn here", "choose another --sink with --render-at")
    address, token = ServerAddress.parse(args.render_at), read_token(args.token_file)
    paths: list[Path] = args.avatar or []
    if len(paths) > 1:
        raise ConfigError("there is one avatar at a time with --render-at", "name one --avatar")
    with ExitStack() as stack:
        portraits = open_portraits(paths, AvatarCache(), print_status)
        wishes = build_session_request(settings, paths[0])
        driver = make_driver(spec, portraits, settings.model)
        recorder = stack.enter_context(MotionRecorder(args.record_motion)) if args.record_motion else None
        run = RemoteRenderRun(
            settings, spec, driver, address, token, wishes, on_motion=recorder.add if recorder else None
        )
        print_status(f"{spec} moves, {address.http_url} draws, to {', '.join(settings.sinks)}; Ctrl-C ends")
        asyncio.run(run.run(args.seconds))
    run.report_results(args.json)
    return 0


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
    """What the drawing machine is told. Raises: ConfigError when it could not do it."""
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
    return SessionRequest(wanted, _read_image_file(photo), backdrop)


def _read_image_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", "give the path of an image") from error


class _MotionUplink:
    """A ``Performer`` whose drawing is done elsewhere."""

    def __init__(
        self,
        driver: Driver[Keypoints],
        send_motion: Callable[[Keypoints], None],
        on_motion: Callable[[Keypoints], None] | None,
    ) -> None:
        self._driver = driver
        self._send_motion = send_motion
        self._on_motion = on_motion
        self._empty_image: Image = np.zeros((1, 1, 3), np.uint8)

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        motion = self._driver.estimate(inputs)
        if self._on_motion is not None:
            self._on_motion(motion)
        return motion

    def draw(self, motion: Keypoints, moment_ns: int) -> Image:
        self._send_motion(motion)
        return self._empty_image

    def set_quality(self, quality: QualityLevel) -> None:
        """Motion has no size."""


@dataclass(frozen=True, slots=True)
class _FrameMotion:
    frame: VideoFrame | None
    captured_ns: int
    set: str = "picture"


class _FrameDisplay:
    """A ``Performer`` that fits the picture it is given into ``size`` (width, height)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def estimate(self, inputs: DriverInputs) -> _FrameMotion:
        return _FrameMotion(inputs.frame, inputs.now_ns)

    def draw(self, motion: _FrameMotion, moment_ns: int) -> Image:
        assert motion.frame is not None
        return letterbox(motion.frame.image[..., :3], self._size)

    def set_quality(self, quality: QualityLevel) -> None:
        """The picture is as it is."""


def letterbox(image: Image, size: tuple[int, int]) -> Image:
    """``image`` [h, w, 3] as large as it goes into [H, W, 3] of ``size`` (W, H), black at the sides."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    picture = np.zeros((height, width, 3), np.uint8)
    picture[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    return picture


class _AudioTee:
    """A ``Capture`` of what the driver's ear hears, so that one microphone serves both."""

    def __init__(self, audio_buffer: AudioRingBuffer) -> None:
        self._audio_buffer = audio_buffer
        self._queue: Fifo[AudioFrame] = Fifo(_MAX_QUEUED_BLOCKS)

    async def __aenter__(self) -> _AudioTee:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    def put(self, frame: AudioFrame) -> None:
        self._audio_buffer.put(frame)
        self._queue.put(frame)

    def read_newest(self, now_ns: int) -> AudioFrame | None:
        return self._audio_buffer.read_newest(now_ns)

    async def recv(self) -> AudioFrame:
        return await self._queue.get()


class RemoteRenderRun:
    """One run: the tracking here, the studio elsewhere, and the sinks here, which get the microphone's sound too."""

    def __init__(
        self,
        settings: RunSettings,
        spec: str,
        driver: Driver[Keypoints],
        address: ServerAddress,
        token: str,
        request: SessionRequest,
        *,
        on_motion: Callable[[Keypoints], None] | None = None,
        notify: Callable[[str], None] = print_status,
    ) -> None:
        stream = settings.stream
        self.settings = settings
        self.remote_renderer = RemoteRenderer(address, token, request, fps=stream.fps, report=notify)
        needs_camera, listens, stats = (
            spec.partition(":")[0] not in CAMERALESS_DRIVERS,
            spec in VOICE_DRIVERS,
            StatsCollector(),
        )
        shown = StatsCollector()
        heard: Capture | None = None
        if listens or settings.microphone:
            heard = open_microphone(settings.microphone or "default", SOUND_RATE, stats)
            stream = stream.model_copy(update={"audio_rate": SOUND_RATE})
        ear = _AudioTee(AudioRingBuffer(on_gap=lambda: stats.count("sound.gaps"))) if listens else None
        self.tracking_pipeline = Pipeline.from_animator(
            open_capture(settings.capture, settings.camera) if needs_camera else None,
            _MotionUplink(driver, self.remote_renderer.submit_motion, on_motion),
            [],
            fps=stream.fps,
            microphone=heard if listens else None,
            audio_buffer=ear,
            stats=stats,
        )
        self.display_pipeline = Pipeline.from_animator(
            self.remote_renderer.camera,
            _FrameDisplay(stream.size),
            [open_sink(sink, stream) for sink in settings.sinks],
            fps=stream.fps,
            microphone=ear or heard,
            sound_out=open_sound_output(settings.sound_out, SOUND_RATE, shown) if settings.sound_out else None,
            stats=shown,
        )
        self.first_picture_s: float | None = None
        """From the start of the program to the first picture that came back."""

    def stop(self) -> None:
        """End the run; callable from the event loop."""
        self.tracking_pipeline.stop()
        self.display_pipeline.stop()

    async def run(self, seconds: float | None = None) -> None:
        """Until ``stop``, a signal, the capture's end or no sink is left. Raises: LiveheadError of whichever part."""
        stop_on_signals(self.stop, seconds)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(self.remote_renderer.run()),
                    group.create_task(self._report_first_picture()),
                ]
                tracking = group.create_task(self.tracking_pipeline.run())
                showing = group.create_task(self.display_pipeline.run())
                done, _ = await asyncio.wait((tracking, showing), return_when=asyncio.FIRST_COMPLETED)
                if tracking in done and not tracking.exception():
                    await asyncio.wait((showing,), timeout=_DRAIN_S)
                self.stop()
                await asyncio.wait((tracking, showing))
                for task in beside:
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _report_first_picture(self) -> None:
        await self.remote_renderer.camera.first_frame_received.wait()
        self.first_picture_s = process_uptime_s()
        print_status(f"first picture after {self.first_picture_s:.2f} s")

    def report_results(self, path: Path | None) -> None:
        """The run's figures on the terminal and, if asked for, as JSON."""
        studio, stats = self.remote_renderer, self.tracking_pipeline.stats
        stages = {
            **stats.summarize_stages(),
            **{f"shown.{name}": each for name, each in self.display_pipeline.stats.summarize_stages().items()},
        }
        estimate = stages.get("estimate", summarize_ms([]))
        print_status(
            f"{studio.sent_packets} packets of motion sent ({studio.sent_bytes} bytes, {estimate['median']:.0f} ms to estimate "
            f"each), {studio.camera.received} pictures back"
        )
        if path is not None:
            from livehead.reporting.report import Json, JsonReport, write_json

            counts = {"packets": studio.sent_packets, "bytes": studio.sent_bytes, "pictures": studio.camera.received}
            counts |= {"connections": studio.connection_count}
            results: dict[str, Json] = {"stages": stages, "counts": counts}
            results |= {"first_picture_s": self.first_picture_s, "peak_mb": round(peak_memory_mb(), 1)}
            write_json(JsonReport("run", self.settings.model_dump(mode="json")).finish(results), path)
