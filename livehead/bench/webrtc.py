"""``livehead bench webrtc``: ``livehead serve`` before a real Chromium, renderer after renderer in one run."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from livehead.assembly.live_avatar import FALLBACK_MODEL
from livehead.assembly.synthetic_performer import (
    ASTRONAUT_PHOTO,
    JUMP_SHOTS,
    bundled_portrait,
    continuous_shots,
    step_shots,
)
from livehead.bench.camera_to_page import check_jump_detection, measure_page
from livehead.bench.harness.camera_files import write_mjpeg
from livehead.bench.latency import plan_jumps
from livehead.bench.timecode import paint_time_code
from livehead.bench.viewers import measure_viewers_cpu
from livehead.bench.vowel_bursts import synthesize_vowel_bursts, write_wav
from livehead.clock import NS
from livehead.config import RunSettings
from livehead.errors import ConfigError, DeviceError, did_you_mean
from livehead.registry import list_names
from livehead.reporting.report import Json

log = logging.getLogger(__name__)

RENDERERS = ("passthrough", "warp", "compact")
PASSTHROUGH = "passthrough"
CAMERA_SIZE = (640, 480)
VIEWER_COUNT = 10
TEST_SOUND_S = 20.0
"""Length of the test signal, which the browser's microphone plays over and over."""
JUMP_COUNT, JUMP_RUN_S = 24, 15.0
_START_TIMEOUT_S = 60.0


def measure_webrtc(
    renderers: list[str], seconds: float, settings: RunSettings
) -> tuple[dict[str, Json], dict[str, list[float]]]:
    """Results of ``bench webrtc``, and the age in ms of each picture by renderer. Raises: ConfigError, DeviceError."""
    known = (PASSTHROUGH, *list_names("renderers"))
    for name in renderers:
        if name not in known:
            raise ConfigError(f"there is no renderer {name!r}", did_you_mean(name, known))
    with tempfile.TemporaryDirectory(prefix="livehead-bench-") as folder:
        camera = Path(folder, "camera.mjpeg")
        write_time_code_video(camera)
        write_wav(sound := Path(folder, "sound.wav"), synthesize_vowel_bursts(TEST_SOUND_S))
        jumping_camera = Path(folder, "jumps.mjpeg")
        poses = write_jump_video(jumping_camera)
        pages, detected = {}, {}
        for name in renderers:
            log.info("measuring %s from the camera to the page (%.0f s)", name, seconds)
            with run_server("--model", name, "--render-size", str(settings.render_size), "--time-code") as server:
                pages[name] = measure_page(server.url, camera, sound, seconds)
                detected[name] = _check_motion_detector(server.url, jumping_camera, sound, poses)
    last = pages[renderers[-1]]
    crowd = measure_viewers(seconds) if sys.platform == "linux" else None
    results: dict[str, Json] = {
        "camera_to_page": {name: page.to_results() for name, page in pages.items()},
        "stages": dict(last.stages),
        "join_s": max(page.join_s for page in pages.values()),
        "fps": min(page.fps for page in pages.values()),
        "viewers_cpu": crowd,
        "av_offset_ms": {name: page.offset_ms for name, page in pages.items()},
        "motion_detector": detected,
    }
    return results, {name: page.latency_ms for name, page in pages.items()}


def measure_viewers(seconds: float) -> dict[str, Json]:
    """Measure what ten viewers cost the server in place of one, with the model ``warp``. Raises: DeviceError."""
    log.info("measuring what %d viewers cost (%.0f s)", VIEWER_COUNT, 2 * seconds)
    shots = continuous_shots(bundled_portrait(ASTRONAUT_PHOTO), CAMERA_SIZE, 30.0)[:90]
    with run_server("--model", FALLBACK_MODEL) as server:
        pictures = [shot.image for shot in shots]
        return asyncio.run(measure_viewers_cpu(server.url, server.pid, pictures, VIEWER_COUNT, seconds))


def write_time_code_video(path: Path) -> None:
    """Write the synthetic performer as a fake camera's file, each picture with its number."""
    shots = continuous_shots(bundled_portrait(ASTRONAUT_PHOTO), CAMERA_SIZE, 30.0)
    write_mjpeg((paint_time_code(shot.image, number) for number, shot in enumerate(shots)), path)


def write_jump_video(path: Path) -> list[int]:
    """Write a performer who jumps between two poses as a fake camera's file with time codes; gives the poses."""
    plan = plan_jumps(JUMP_COUNT, 30.0, JUMP_SHOTS)
    shots = step_shots(bundled_portrait(ASTRONAUT_PHOTO), CAMERA_SIZE)
    moments = range(0, plan.end_ns, round(NS / 30))
    pictures = (paint_time_code(shots[plan(at) or 0].image, number) for number, at in enumerate(moments))
    write_mjpeg(pictures, path)
    return [plan.pose_at(at) for at in moments]


def _check_motion_detector(url: str, camera: Path, sound: Path, poses: list[int]) -> dict[str, Json]:
    try:
        return check_jump_detection(url, camera, sound, poses, JUMP_RUN_S)
    except DeviceError as error:  # the other figures hold without it
        return {"agrees": None, "why": error.problem}


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running ``livehead serve``: its page's address and its process."""

    url: str
    pid: int


@contextmanager
def run_server(*arguments: str, port: int = 0) -> Iterator[ServerProcess]:
    """``livehead serve`` in a process of its own, on a free port if none is given. Raises: DeviceError."""
    command = [sys.executable, "-m", "livehead", "serve", "--port", str(port), *arguments]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ.copy())
    assert server.stderr is not None
    lines: list[str] = []
    ready = threading.Event()

    def read_lines(stderr: Iterator[str]) -> None:
        for line in stderr:
            lines.append(line)
            if line.startswith("open "):
                ready.set()
        ready.set()

    reader = threading.Thread(target=read_lines, args=(iter(server.stderr),), daemon=True)
    reader.start()
    try:
        if not ready.wait(_START_TIMEOUT_S) or not lines or not lines[-1].startswith("open "):
            raise DeviceError(f"livehead serve did not start: {''.join(lines[-1:]).strip()}")
        yield ServerProcess(lines[-1].split()[1], server.pid)
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        reader.join()
        server.stderr.close()
