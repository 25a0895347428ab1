"""``livehead bench webrtc``: ``livehead serve`` before a real Chromium, renderer after renderer in one run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from livehead.clock import NS
from livehead.commands.compose import FALLBACK_MODEL
from livehead.commands.performer import ASTRONAUT, JUMP_SHOTS, jumping, own_portrait, performing
from livehead.config import RunSettings
from livehead.errors import ConfigError, DeviceError
from livehead.frames import Image, VideoFrame
from livehead.governor import Quality
from livehead.interfaces import Inputs
from livehead.metrics import timecode
from livehead.metrics.bench_webrtc import measure_jumps, measure_page
from livehead.metrics.bursts import vowel_bursts, write_wav
from livehead.metrics.footage import write_mjpeg
from livehead.metrics.latency import plan_jumps
from livehead.metrics.report import Json
from livehead.metrics.viewers import viewers_cpu
from livehead.registry import names, suggestion
from livehead.server.session import Ends
from livehead.server.stage import Choice, Stage

RENDERERS = ("passthrough", "warp", "compact")
PASSTHROUGH = "passthrough"
CAMERA = (640, 480)
CROWD = 10
SOUND_S = 20.0
"""Of the test signal, which the browser's microphone plays over and over."""
JUMPS, JUMPS_S = 24, 15.0
_START_S = 60.0

ENDS = Ends(capture=timecode.CodedCapture, sink=timecode.CodedSink)
"""What ``livehead serve --time-code`` puts before the ends of its pipelines."""


def measure_webrtc(
    renderers: list[str], seconds: float, settings: RunSettings
) -> tuple[dict[str, Json], dict[str, list[float]]]:
    """Results of ``bench webrtc``, and the age in ms of each picture by renderer. Raises: ConfigError, DeviceError."""
    known = (PASSTHROUGH, *names("renderers"))
    for name in renderers:
        if name not in known:
            raise ConfigError(f"there is no renderer {name!r}", suggestion(name, known))
    with tempfile.TemporaryDirectory(prefix="livehead-bench-") as folder:
        camera = Path(folder, "camera.mjpeg")
        film_time_codes(camera)
        write_wav(sound := Path(folder, "sound.wav"), vowel_bursts(SOUND_S))
        jumping_camera = Path(folder, "jumps.mjpeg")
        poses = film_jumps(jumping_camera)
        pages, detected = {}, {}
        for name in renderers:
            with serving("--model", name, "--render-size", str(settings.render_size), "--time-code") as server:
                pages[name] = measure_page(server.url, camera, sound, seconds)
                detected[name] = _detected(server.url, jumping_camera, sound, poses)
    last = pages[renderers[-1]]
    crowd = measure_viewers(seconds) if sys.platform == "linux" else None
    results: dict[str, Json] = {
        "camera_to_page": {name: page.results() for name, page in pages.items()},
        "stages": dict(last.stages),
        "join_s": max(page.join_s for page in pages.values()),
        "fps": min(page.fps for page in pages.values()),
        "viewers_cpu": crowd,
        "av_offset_ms": {name: page.offset_ms for name, page in pages.items()},
        "motion_detector": detected,
    }
    return results, {name: page.latency_ms for name, page in pages.items()}


def measure_viewers(seconds: float) -> dict[str, Json]:
    """What ten viewers cost in place of one; ``warp`` draws."""
    shots = performing(own_portrait(ASTRONAUT), CAMERA, 30.0)[:90]
    with serving("--model", FALLBACK_MODEL) as server:
        pictures = [shot.image for shot in shots]
        return asyncio.run(viewers_cpu(server.url, server.pid, pictures, CROWD, seconds))


def film_time_codes(path: Path) -> None:
    """The synthetic performer as a fake camera's file, each picture with its number."""
    shots = performing(own_portrait(ASTRONAUT), CAMERA, 30.0)
    write_mjpeg((timecode.paint(shot.image, number) for number, shot in enumerate(shots)), path)


def film_jumps(path: Path) -> list[int]:
    """A performer who jumps between two poses, as a fake camera's file with time codes; the pose of each picture."""
    plan = plan_jumps(JUMPS, 30.0, JUMP_SHOTS)
    shots = jumping(own_portrait(ASTRONAUT), CAMERA)
    moments = range(0, plan.end_ns, round(NS / 30))
    pictures = (timecode.paint(shots[plan(at) or 0].image, number) for number, at in enumerate(moments))
    write_mjpeg(pictures, path)
    return [plan.pose(at) for at in moments]


def _detected(url: str, camera: Path, sound: Path, poses: list[int]) -> dict[str, Json]:
    try:
        return measure_jumps(url, camera, sound, poses, JUMPS_S)
    except DeviceError as error:  # the other figures hold without it
        return {"agrees": None, "why": error.problem}


@dataclass(frozen=True, slots=True)
class Served:
    """A ``livehead serve`` that runs."""

    url: str
    pid: int


@contextmanager
def serving(*arguments: str, port: int = 0) -> Iterator[Served]:
    """``livehead serve`` in a process of its own, on a free port if none is given. Raises: DeviceError."""
    command = [sys.executable, "-m", "livehead", "serve", "--port", str(port), *arguments]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ.copy())
    assert server.stderr is not None
    told: list[str] = []
    ready = threading.Event()

    def read(lines: Iterator[str]) -> None:
        for line in lines:
            told.append(line)
            if line.startswith("open "):
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, args=(iter(server.stderr),), daemon=True)
    reader.start()
    try:
        if not ready.wait(_START_S) or not told or not told[-1].startswith("open "):
            raise DeviceError(f"livehead serve did not start: {''.join(told[-1:]).strip()}")
        yield Served(told[-1].split()[1], server.pid)
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        reader.join()
        server.stderr.close()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a driver of nothing estimates: the picture itself."""

    frame: VideoFrame | None
    captured_ns: int
    set: str = PASSTHROUGH


class PassThrough:
    """A ``Stage`` and its performer that send the camera's own picture: what everything but the avatar costs."""

    hardware = "no renderer"

    def __init__(self, choice: Choice, size: tuple[int, int]) -> None:
        self.choice = choice
        self._size = size
        self._picture: Image = np.zeros((size[1], size[0], 3), np.uint8)

    @property
    def performer(self) -> PassThrough:
        return self

    def estimate(self, inputs: Inputs) -> _Seen:
        return _Seen(inputs.frame, inputs.now_ns)

    def draw(self, motion: _Seen, moment_ns: int) -> Image:
        if motion.frame is not None:
            self._picture = np.asarray(cv2.resize(motion.frame.image[..., :3], self._size), np.uint8)
        return self._picture

    def set_quality(self, quality: Quality) -> None:
        """The picture is as it is."""

    def set_gains(self, gains: object) -> None:
        """Nothing follows."""

    def recalibrate(self) -> None:
        """Nothing is neutral."""

    def close(self, successor: Stage | None) -> None:
        """Nothing to free."""
