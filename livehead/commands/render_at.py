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

from livehead.audio.ring import SoundRing
from livehead.commands.compose import driver_name, make_driver, open_portraits
from livehead.commands.ends import open_capture, open_microphone, open_sink, open_sound_out
from livehead.commands.options import TOKEN, say, settings_from
from livehead.commands.run import LISTENS, NO_CAMERA, SOUND_RATE
from livehead.commands.signals import end_on_signals
from livehead.concurrency import Fifo
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.governor import Quality
from livehead.interfaces import Capture, Driver, Inputs
from livehead.motion.keypoints import Keypoints
from livehead.motion.recording import MotionRecorder
from livehead.pipeline import Pipeline
from livehead.renderers.store import AvatarStore
from livehead.server import protocol
from livehead.server.caller import Address
from livehead.server.remote import RemoteStudio, Wishes
from livehead.stats import Stats, peak_mb, seconds_since_start, summary

_MOST_TOKEN = 256
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SOUND_LINE = 100  # blocks that may wait
_LAST_PICTURE_S = 1.0  # after the end of a video, for what is on its way


def render_at(args: argparse.Namespace) -> int:
    """Until Ctrl-C, the end of the video or ``--seconds``. Raises: ConfigError and what its parts raise."""
    settings = settings_from(args)
    if args.profile:
        raise ConfigError("a profile holds what the drawing machine keeps", "leave --profile or --render-at out")
    spec = driver_name(settings.driver, settings.model, settings.precision)
    if settings.sound_out and not settings.microphone and spec not in LISTENS:
        raise ConfigError("there is no sound to pass on", "name a microphone with --microphone")
    if spec == "face+voice":
        raise ConfigError("face and voice are told apart where the avatar is drawn", "choose --driver face or voice")
    if "window" in settings.sinks:
        raise ConfigError("the window's keys change what is drawn here", "choose another --sink with --render-at")
    address, token = Address.parse(args.render_at), token_from(args.token_file)
    paths: list[Path] = args.avatar or []
    if len(paths) > 1:
        raise ConfigError("there is one avatar at a time with --render-at", "name one --avatar")
    with ExitStack() as stack:
        portraits = open_portraits(paths, AvatarStore(), say)
        wishes = wishes_from(settings, paths[0])
        driver = make_driver(spec, portraits, settings.model)
        recorder = stack.enter_context(MotionRecorder(args.record_motion)) if args.record_motion else None
        run = RemoteRun(settings, spec, driver, address, token, wishes, watch=recorder.add if recorder else None)
        say(f"{spec} moves, {address.http} draws, to {', '.join(settings.sinks)}; Ctrl-C ends")
        asyncio.run(run.go(args.seconds))
    run.tell(args.json)
    return 0


def token_from(path: Path | None) -> str:
    """The token of ``path``, else of the environment; it stands on no command line. Raises: ConfigError."""
    try:
        token = path.read_text(encoding="utf-8").strip() if path else os.environ.get(TOKEN, "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}", "give a file that holds the token alone") from error
    if len(token) > _MOST_TOKEN or not token.isprintable():
        raise ConfigError("the token is not one of livehead serve", "give a file that holds the token alone")
    return token


def wishes_from(settings: RunSettings, photo: Path) -> Wishes:
    """What the drawing machine is told. Raises: ConfigError when it could not do it."""
    background, backdrop = settings.picture.background, None
    if background not in ("keep", "blur") and not _COLOUR.fullmatch(background):
        if not Path(background).is_file():
            raise ConfigError(f"{background} is no image and no #rrggbb", "give one of the two with --render-at")
        background, backdrop = "image", _read(Path(background))
    wanted = protocol.Settings(
        model=None if settings.model == "auto" else settings.model,
        mode=settings.mode,
        gains=settings.gains,
        background=background,
        badge=settings.picture.badge,
    )
    return Wishes(wanted, _read(photo), backdrop)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", "give the path of an image") from error


class _Sending:
    """A ``Performer`` whose drawing is done elsewhere."""

    def __init__(
        self, driver: Driver[Keypoints], put: Callable[[Keypoints], None], watch: Callable[[Keypoints], None] | None
    ) -> None:
        self._driver = driver
        self._put = put
        self._watch = watch
        self._nothing: Image = np.zeros((1, 1, 3), np.uint8)

    def estimate(self, inputs: Inputs) -> Keypoints:
        motion = self._driver.estimate(inputs)
        if self._watch is not None:
            self._watch(motion)
        return motion

    def draw(self, motion: Keypoints, moment_ns: int) -> Image:
        self._put(motion)
        return self._nothing

    def set_quality(self, quality: Quality) -> None:
        """Motion has no size."""


@dataclass(frozen=True, slots=True)
class _Seen:
    frame: VideoFrame | None
    captured_ns: int
    set: str = "picture"


class _Showing:
    """A ``Performer`` that fits the picture it is given into ``size`` (width, height)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def estimate(self, inputs: Inputs) -> _Seen:
        return _Seen(inputs.frame, inputs.now_ns)

    def draw(self, motion: _Seen, moment_ns: int) -> Image:
        assert motion.frame is not None
        return fitted(motion.frame.image[..., :3], self._size)

    def set_quality(self, quality: Quality) -> None:
        """The picture is as it is."""


def fitted(image: Image, size: tuple[int, int]) -> Image:
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


class _Overheard:
    """A ``Capture`` of what the driver's ear hears, so that one microphone serves both."""

    def __init__(self, ear: SoundRing) -> None:
        self._ear = ear
        self._line: Fifo[AudioFrame] = Fifo(_SOUND_LINE)

    async def __aenter__(self) -> _Overheard:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    def put(self, frame: AudioFrame) -> None:
        self._ear.put(frame)
        self._line.put(frame)

    def newest(self, now_ns: int) -> AudioFrame | None:
        return self._ear.newest(now_ns)

    async def recv(self) -> AudioFrame:
        return await self._line.get()


class RemoteRun:
    """One run: the tracking here, the studio elsewhere, and the sinks here, which get the microphone's sound too."""

    def __init__(
        self,
        settings: RunSettings,
        spec: str,
        driver: Driver[Keypoints],
        address: Address,
        token: str,
        wishes: Wishes,
        *,
        watch: Callable[[Keypoints], None] | None = None,
        tell: Callable[[str], None] = say,
    ) -> None:
        stream = settings.stream
        self.settings = settings
        self.studio = RemoteStudio(address, token, wishes, fps=stream.fps, tell=tell)
        needs_camera, listens, stats = spec.partition(":")[0] not in NO_CAMERA, spec in LISTENS, Stats()
        shown = Stats()
        heard: Capture | None = None
        if listens or settings.microphone:
            heard = open_microphone(settings.microphone or "default", SOUND_RATE, stats)
            stream = stream.model_copy(update={"audio_rate": SOUND_RATE})
        ear = _Overheard(SoundRing(on_gap=lambda: stats.count("sound.gaps"))) if listens else None
        self.tracking = Pipeline(
            open_capture(settings.capture, settings.camera) if needs_camera else None,
            _Sending(driver, self.studio.put, watch),
            [],
            fps=stream.fps,
            microphone=heard if listens else None,
            ear=ear,
            stats=stats,
        )
        self.showing = Pipeline(
            self.studio.camera,
            _Showing(stream.size),
            [open_sink(sink, stream) for sink in settings.sinks],
            fps=stream.fps,
            microphone=ear or heard,
            sound_out=open_sound_out(settings.sound_out, SOUND_RATE, shown) if settings.sound_out else None,
            stats=shown,
        )
        self.first_picture_s: float | None = None
        """From the start of the program to the first picture that came back."""

    def stop(self) -> None:
        """End the run; callable from the event loop."""
        self.tracking.stop()
        self.showing.stop()

    async def go(self, seconds: float | None = None) -> None:
        """Until ``stop``, a signal, the capture's end or no sink is left. Raises: LiveheadError of whichever part."""
        end_on_signals(self.stop, seconds)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self.studio.run()), group.create_task(self._watch())]
                tracking = group.create_task(self.tracking.run())
                showing = group.create_task(self.showing.run())
                done, _ = await asyncio.wait((tracking, showing), return_when=asyncio.FIRST_COMPLETED)
                if tracking in done and not tracking.exception():
                    await asyncio.wait((showing,), timeout=_LAST_PICTURE_S)
                self.stop()
                await asyncio.wait((tracking, showing))
                for task in beside:
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _watch(self) -> None:
        await self.studio.camera.arrived.wait()
        self.first_picture_s = seconds_since_start()
        say(f"first picture after {self.first_picture_s:.2f} s")

    def tell(self, path: Path | None) -> None:
        """The run's figures on the terminal and, if asked for, as JSON."""
        studio, stats = self.studio, self.tracking.stats
        stages = {**stats.stages(), **{f"shown.{name}": each for name, each in self.showing.stats.stages().items()}}
        estimate = stages.get("estimate", summary([]))
        say(
            f"{studio.sent} packets of motion sent ({studio.sent_bytes} bytes, {estimate['median']:.0f} ms to estimate "
            f"each), {studio.camera.received} pictures back"
        )
        if path is not None:
            from livehead.metrics.report import Json, Report, write_json

            counts = {"packets": studio.sent, "bytes": studio.sent_bytes, "pictures": studio.camera.received}
            counts |= {"connections": studio.connections}
            results: dict[str, Json] = {"stages": stages, "counts": counts}
            results |= {"first_picture_s": self.first_picture_s, "peak_mb": round(peak_mb(), 1)}
            write_json(Report("run", self.settings.model_dump(mode="json")).finish(results), path)
