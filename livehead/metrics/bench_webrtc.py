"""Camera to page: how old is the avatar that a browser shows, counted from when its camera saw what it shows?

Chromium's fake camera plays pictures with a time code; the server copies the code of each driving frame into the avatar
frame that it gave rise to; the page notes when it has which code (``camera_to_page.js``). Inside the figure: the
browser's capture and encoder, both ways of the network, our decoder, tracker, renderer and encoder, the browser's
decoder and the wait until it hands the picture to its compositor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from livehead.errors import DeviceError
from livehead.metrics.chromium import Chromium, fake_devices
from livehead.metrics.report import Json
from livehead.stats import summary

_SETTLE_S = 4.0  # bitrate estimates and the governor come to rest
_FIRST_S = 30.0
_OLDEST_MS = 5000.0
_TIMES = ("driver_ms", "render_ms", "encode_ms")


@dataclass(frozen=True, slots=True)
class CameraToPage:
    """``latency_ms`` of each avatar frame, ``stages`` in ms, ``join_s`` from the click to the first frame."""

    latency_ms: list[float]
    stages: Mapping[str, dict[str, float]]
    join_s: float
    fps: float

    def results(self) -> dict[str, Json]:
        """As in the JSON."""
        return {**summary(self.latency_ms), "fps": self.fps, "join_s": self.join_s, "stages": dict(self.stages)}


def measure_page(url: str, camera: Path, sound: Path | None, seconds: float) -> CameraToPage:
    """Join at ``url`` with ``camera`` (``.mjpeg``) and measure for ``seconds``. Raises: DeviceError."""
    with Chromium(fake_devices(camera, sound)) as browser:
        tab = browser.open(url)
        tab.evaluate((resources.files("livehead.metrics") / "camera_to_page.js").read_text(encoding="utf-8"))
        tab.until("liveheadSeen.avatar.length > 0", _FIRST_S)
        time.sleep(_SETTLE_S)
        begin = float(tab.evaluate("performance.now()"))
        time.sleep(seconds)
        seen = tab.evaluate("liveheadSeen")
    return _judge(seen, begin)


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
