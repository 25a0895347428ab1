"""Camera to page: how old is the avatar that a browser shows, counted from when its camera saw what it shows?

Chromium's fake camera plays pictures with a time code; the server copies the code of each driving frame into the avatar
frame that it gave rise to; the page notes when it has which code (``camera_to_page.js``). Inside the figure: the
browser's capture and encoder, both ways of the network, our decoder, tracker, renderer and encoder, the browser's
decoder and the wait until it hands the picture to its compositor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from livehead.errors import DeviceError
from livehead.metrics.av_offset import Curve, offset_between
from livehead.metrics.chromium import Chromium, Tab, fake_devices
from livehead.metrics.report import Json
from livehead.stats import summary

log = logging.getLogger(__name__)

_SETTLE_S = 4.0  # bitrate estimates and the governor come to rest
_FIRST_S = 30.0
_OLDEST_MS = 5000.0
_LATEST_S = 2.0  # that sound may come back after it was said
_TIMES = ("driver_ms", "render_ms", "encode_ms")


@dataclass(frozen=True, slots=True)
class CameraToPage:
    """``latency_ms`` of each avatar frame, ``stages`` in ms, ``join_s`` from the click to the first frame.

    ``offset_ms``: how much later what is said is heard than what is done at the same moment is seen; None where that
    could not be told.
    """

    latency_ms: list[float]
    stages: Mapping[str, dict[str, float]]
    join_s: float
    fps: float
    offset_ms: float | None = None

    def results(self) -> dict[str, Json]:
        """As in the JSON."""
        rest = {"fps": self.fps, "join_s": self.join_s, "av_offset_ms": self.offset_ms, "stages": dict(self.stages)}
        return {**summary(self.latency_ms), **rest}


def measure_page(url: str, camera: Path, sound: Path, seconds: float) -> CameraToPage:
    """Join at ``url`` with ``camera`` (``.mjpeg``) and ``sound`` and measure for ``seconds``. Raises: DeviceError."""
    with Chromium(fake_devices(camera, sound)) as browser:
        tab = browser.open(url, policy=False)
        join(tab)
        time.sleep(_SETTLE_S)
        begin = float(tab.evaluate("(liveheadSound(), performance.now())"))
        time.sleep(seconds)
        seen = tab.evaluate("({...liveheadSeen, sound: liveheadSound()})")
    page = _judge(seen, begin)
    try:
        delay = sound_delay_ms(seen["sound"])
    except DeviceError as error:
        log.warning("no A/V offset: %s", error.problem)
        return page
    return replace(page, offset_ms=round(delay - float(np.median(page.latency_ms)), 1))


def join(tab: Tab) -> None:
    """Join a call on a studio page, its pictures and sound noted from then on. Raises: DeviceError."""
    folder = resources.files("livehead.metrics")
    tab.evaluate((folder / "camera_to_page.js").read_text(encoding="utf-8"))
    tab.until("liveheadSeen.avatar.length > 0", _FIRST_S)
    tab.until("document.getElementById('avatar').srcObject.getAudioTracks().length", _FIRST_S)
    tab.evaluate((folder / "page_sound.js").read_text(encoding="utf-8"))


def sound_delay_ms(heard: Sequence[Sequence[float]]) -> float:
    """How much later the second loudness is than the first, of triples with the time in s. Raises: DeviceError."""
    if not len(heard):
        raise DeviceError("the page heard nothing", "is there sound in the call?")
    times, own, back = np.array(heard, np.float64).T
    return offset_between(Curve(times, own), Curve(times, back), _LATEST_S).ms


def _judge(seen: Mapping[str, Any], begin_ms: float) -> CameraToPage:
    first = seen["avatar"][0]["shown"] - seen["joined"]
    captured = [(each["captured"], each["number"]) for each in seen["self"] if each["number"] >= 0]
    shown = [each for each in seen["avatar"] if each["shown"] >= begin_ms]
    coded = [each for each in shown if each["number"] >= 0]
    if len(coded) < 2 or not captured:
        raise DeviceError("the page saw no time codes", "is the machine overloaded?")
    latency = latencies(captured, [(each["shown"], each["number"]) for each in coded])
    if not latency:
        raise DeviceError("no avatar frame could be tied to its camera frame", "is the machine overloaded?")
    span_s = (coded[-1]["shown"] - coded[0]["shown"]) / 1000
    numbers = [each["number"] for each in coded]
    changes = sum(one != other for one, other in zip(numbers, numbers[1:], strict=False))
    stages = {
        "browser_decode": summary([each["decoding"] for each in shown]),
        "play_out": summary(
            [each["shown"] - each["received"] - each["decoding"] for each in shown if each["received"]]
        ),
    }
    for name in _TIMES:
        stages[name.removesuffix("_ms")] = summary([each["server"][name] for each in seen["figures"]])
    stages["server"] = summary([each["server"]["total_ms"] for each in seen["figures"]])
    stages["browser_encode"] = summary([each["own"]["encode"] for each in seen["figures"]])
    stages["network"] = summary([each["own"]["network"] for each in seen["figures"]])
    return CameraToPage(latency, stages, round(first / 1000, 3), round(changes / span_s, 2))


def latencies(captured: Sequence[tuple[float, int]], shown: Sequence[tuple[float, int]]) -> list[float]:
    """Age in ms of each number when it was first shown, by its newest capture before that; moments in ms.

    Numbers come again when the fake camera's file begins anew; where the page missed a capture, the one of the round
    before is too old to be meant.
    """
    result = []
    last = -1
    for moment, number in shown:
        if number == last:
            continue
        last = number
        ages = [moment - taken for taken, code in captured if code == number and taken <= moment]
        if ages and min(ages) < _OLDEST_MS:
            result.append(min(ages))
    return result
