"""Camera to page: how old is the avatar that a browser shows, counted from when its camera saw what it shows?

Chromium's fake camera plays pictures with a time code; the server copies the code of each driving frame into the avatar
frame that it gave rise to; the page notes when it has which code (``camera_to_page.js``). Inside the figure: the
browser's capture and encoder, both ways of the network, our decoder, tracker, renderer and encoder, the browser's
decoder and the wait until it hands the picture to its compositor.
"""

from __future__ import annotations

import base64
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
from livehead.metrics.latency import Jumps, Received, see_jumps
from livehead.metrics.report import Json
from livehead.stats import summary

log = logging.getLogger(__name__)

AGREEMENT_MS = 10.0
"""Time code and pixels may say so different things of when a motion is shown, in the median."""

_SETTLE_S = 4.0  # bitrate estimates and the governor come to rest
_FIRST_S = 30.0
_OLDEST_MS = 5000.0
_LATEST_S = 2.0  # that sound may come back after it was said
_FEWEST_JUMPS = 8
_THUMBNAIL = (36, 64)  # height and width, as camera_to_page.js makes them
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
        leave(tab)
    page = _judge(seen, begin)
    try:
        delay = sound_delay_ms(seen["sound"])
    except DeviceError as error:
        log.warning("no A/V offset: %s", error.problem)
        return page
    return replace(page, offset_ms=round(delay - float(np.median(page.latency_ms)), 1))


def measure_jumps(url: str, camera: Path, sound: Path, poses: Sequence[int], seconds: float) -> dict[str, Json]:
    """Whether the motion detector of ``bench pipeline`` sees in the page's pixels what their time codes say.

    ``camera`` shows two poses in turn, ``poses`` of its pictures. Raises: DeviceError.
    """
    with Chromium(fake_devices(camera, sound)) as browser:
        tab = browser.open(url, policy=False)
        tab.evaluate("window.liveheadThumbnails = true")
        join(tab)
        time.sleep(_SETTLE_S)
        tab.evaluate("(liveheadSeen.self.splice(0), liveheadSeen.avatar.splice(0), 0)")
        time.sleep(seconds)
        seen = tab.evaluate("liveheadSeen")
        leave(tab)
    return agreement(seen, poses)


def agreement(seen: Mapping[str, Any], poses: Sequence[int]) -> dict[str, Json]:
    """``later_ms``: how much later each motion is found in the pixels than in the time codes. Raises: DeviceError."""
    captured = [(each["captured"], poses[each["number"]]) for each in seen["self"] if 0 <= each["number"] < len(poses)]
    shown = [each for each in seen["avatar"] if 0 <= each["number"] < len(poses)]
    events = [
        (after[0], after[1]) for before, after in zip(captured, captured[1:], strict=False) if before[1] != after[1]
    ]
    while events and events[0][1] != 1:  # the plan begins in pose 0
        del events[0]
    if len(events) < _FEWEST_JUMPS or not shown:
        raise DeviceError("the page saw too few motions", "is the machine overloaded?")
    moments = np.array([each["shown"] for each in shown])
    pictures = [np.frombuffer(base64.b64decode(each["thumbnail"]), np.uint8).reshape(_THUMBNAIL) for each in shown]
    received = Received(np.round(moments * 1e6).astype(np.int64), np.stack(pictures))
    jumps = Jumps(tuple(round(at * 1e6) for at, _ in events), round(captured[-1][0] * 1e6), 1, 30.0)
    found = see_jumps(received, jumps, 0)
    later = []
    for picture, latency in zip(found.picture, found.latency_ms, strict=True):
        event = int(np.argmin([abs(moments[picture] - latency - at) for at, _ in events]))
        told = [
            at
            for at, each in zip(moments, shown, strict=True)
            if at >= events[event][0] and poses[each["number"]] == events[event][1]
        ]
        if told:
            later.append(float(moments[picture] - told[0]))
    figures = summary(later)
    agrees = bool(later and abs(figures["median"]) <= AGREEMENT_MS)
    return {"later_ms": dict(figures), "missed": found.missed, "limit_ms": AGREEMENT_MS, "agrees": agrees}


def join(tab: Tab) -> None:
    """Join a call on a studio page, its pictures and sound noted from then on. Raises: DeviceError."""
    folder = resources.files("livehead.metrics")
    tab.evaluate((folder / "camera_to_page.js").read_text(encoding="utf-8"))
    tab.until("liveheadSeen.avatar.length > 0", _FIRST_S)
    tab.until("document.getElementById('avatar').srcObject.getAudioTracks().length", _FIRST_S)
    tab.evaluate((folder / "page_sound.js").read_text(encoding="utf-8"))


def leave(tab: Tab) -> None:
    """End the call as who goes to another page does: a browser that is killed says no farewell. Raises: DeviceError."""
    tab.call("Page.navigate", url="about:blank")
    tab.until("location.href === 'about:blank'")


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
