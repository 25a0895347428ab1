"""livehead in a real OBS: set up by the command over obs-websocket and by the script inside OBS, looked at through OBS.

Everything runs in a network of its own (OBS listens on all addresses), so it needs Linux, `unshare`, root or user
namespaces, and OBS with Xvfb. Checks that each thing that can be wrong is told in one line, that the source is made,
mended and left alone, that numbered pictures arrive in sequence and how old they are, that the picture comes back after
the sender ended, after its scene was off air and after OBS could not read for a while, that a green background is keyed
out, and that the script inside OBS tells how it is. Writes screenshots into --pictures. Prints figures as JSON; exit
status 0 when all is well, 1 when not, 3 when something is missing. Installs nothing. About two minutes.

    python scripts/test_obs.py [--size 640x360] [--fps 30] [--seconds 8] [--pictures DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "plugins" / "obs"
sys.path[:0] = [str(ROOT), str(PLUGIN)]

import cv2
import numpy as np
import setup_obs
from devices import barcode, obs
from livehead_source import NAME
from obs_socket import PASSWORD, Obs, RequestError

from livehead.clock import NS, now_ns
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.stream import StreamSink, udp_target

INSIDE = "LIVEHEAD_TEST_OBS_INSIDE"
PORT = 5000
SECRET = "a password of this test"
SOUND_RATE = 48_000
GREEN = "#00ff00"
BACK_S = 15.0


def missing() -> str:
    """Why this cannot run here; empty when it can."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "a network of its own needs Linux and unshare"
    lacking = obs.missing()
    return f"missing: {', '.join(lacking)}. On Debian: sudo apt-get install {obs.PACKAGES}" if lacking else ""


@dataclass
class Sender:
    """``livehead run --sink udp:...`` in short: its stream sink, with numbered pictures and, if wished, sound."""

    size: tuple[int, int]
    fps: int
    sound: bool
    sent: dict[int, int] = field(default_factory=dict)
    """When each picture was captured (ns)."""

    @asynccontextmanager
    async def running(self, first: int = 0) -> AsyncIterator[None]:
        rate = SOUND_RATE if self.sound else None
        target = udp_target(f"127.0.0.1:{PORT}")
        async with StreamSink(target, size=self.size, fps=self.fps, bitrate=3_000_000, audio_rate=rate) as sink:
            task = asyncio.create_task(self._feed(sink, first))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def _feed(self, sink: StreamSink, first: int) -> None:
        start_ns, silence = now_ns(), np.zeros((1, SOUND_RATE // self.fps), np.float32)
        for count in itertools.count():
            number = first + count
            frame = VideoFrame(barcode.paint(number, *self.size), count, Fraction(1, self.fps), now_ns())
            self.sent[number & 0xFFFF] = frame.captured_ns
            await sink.send(frame)
            if self.sound:
                await sink.send(AudioFrame(silence, SOUND_RATE, count * silence.shape[1], frame.captured_ns))
            await asyncio.sleep(max(0.0, (start_ns + (count + 1) * NS / self.fps - now_ns()) / NS))


def shot(client: Obs, source: str, width: int = 0, kind: str = "png") -> np.ndarray[Any, Any]:
    """What OBS shows of a source or scene: uint8 [H, W, 3 or 4] RGB(A)."""
    size = {"imageWidth": width} if width else {}
    data = client.ask("GetSourceScreenshot", sourceName=source, imageFormat=kind, **size)["imageData"]
    raw = np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8)
    image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    order = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, order)


def picture(client: Obs) -> np.ndarray[Any, Any] | None:
    """What the source shows; None while it shows nothing, and so has no size."""
    try:
        return shot(client, NAME, 640, "jpg")
    except RequestError:
        return None


def save(image: np.ndarray[Any, Any], folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, order))


def look(client: Obs, sent: dict[int, int], seconds: float) -> dict[str, Any]:
    """Look at the source again and again: how old what it shows is when it has been looked at."""
    ages: list[float] = []
    took: list[float] = []
    numbers: list[int | None] = []
    colours: list[bool] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked = now_ns()
        image = picture(client)
        came = now_ns()
        number = None if image is None else barcode.read(image)
        numbers.append(number)
        colours.append(image is not None and barcode.colours_right(image))
        took.append((came - asked) / 1e6)
        if number is not None and number in sent:
            ages.append((came - sent[number]) / 1e6)
        time.sleep(0.011)  # no multiple of a frame period
    told = barcode.judge(numbers, colours)
    figures: dict[str, Any] = {"looked": len(numbers), "unreadable": told["unreadable"]}
    figures |= {"disordered": told["disordered"], "colours_wrong": told["colours_wrong"]}
    seen = {number for number in numbers if number is not None}
    figures["different"] = len(seen)
    figures["look_ms"] = round(statistics.median(took), 1)
    if ages:
        ages.sort()
        figures["age_ms"] = {
            "median": round(statistics.median(ages), 1),
            "p95": round(ages[int(len(ages) * 0.95)], 1),
            "n": len(ages),
        }
    return figures


def until_shown(client: Obs, wanted: bool, least: int = 0) -> float:
    """Seconds until a number not below ``least`` is read (or none is). Raises: TimeoutError."""
    began = time.monotonic()
    while time.monotonic() - began < BACK_S:
        image = picture(client)
        number = None if image is None else barcode.read(image)
        if (number is not None and number >= least) == wanted:
            return round(time.monotonic() - began, 2)
        time.sleep(0.03)
    raise TimeoutError(f"the picture did not {'come' if wanted else 'go'} in {BACK_S:.0f} s")
