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

from livehead.bench.av_offset import SampledCurve, estimate_offset
from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags
from livehead.bench.latency import JumpSchedule, ReceivedFrames, detect_jumps
from livehead.errors import DeviceError
from livehead.reporting.report import Json
from livehead.stats import summarize_ms

log = logging.getLogger(__name__)

MAX_DISAGREEMENT_MS = 10.0
"""The largest median difference between the moments at which time codes and pixels show a motion."""

_SETTLE_S = 4.0  # while bitrate estimates and the quality controller come to rest
_FIRST_FRAME_TIMEOUT_S = 30.0
_MAX_AGE_MS = 5000.0
_MAX_OFFSET_S = 2.0  # longest delay with which sound may come back
_MIN_JUMPS = 8
_THUMBNAIL_SHAPE = (36, 64)  # height and width, as camera_to_page.js makes them
_SERVER_TIMES = ("driver_ms", "render_ms", "encode_ms")


@dataclass(frozen=True, slots=True)
class CameraToPageFigures:
    """``latency_ms`` of each avatar frame, ``stages`` in ms, ``join_s`` from the click to the first frame.

    ``offset_ms`` is how much later the sound of a moment is heard than its picture is seen; None where that could not
    be measured.
    """

    latency_ms: list[float]
    stages: Mapping[str, dict[str, float]]
    join_s: float
    fps: float
    offset_ms: float | None = None

    def to_results(self) -> dict[str, Json]:
        """The figures with the keys that they have in the JSON."""
        rest = {"fps": self.fps, "join_s": self.join_s, "av_offset_ms": self.offset_ms, "stages": dict(self.stages)}
        return {**summarize_ms(self.latency_ms), **rest}


def measure_page(url: str, camera: Path, sound: Path, seconds: float) -> CameraToPageFigures:
    """Join at ``url`` with ``camera`` (``.mjpeg``) and ``sound`` and measure for ``seconds``. Raises: DeviceError."""
    with HeadlessChromium(fake_device_flags(camera, sound)) as browser:
        tab = browser.open_tab(url, policy=False)
        join_call(tab)
        time.sleep(_SETTLE_S)
        begin = float(tab.evaluate("(liveheadSound(), performance.now())"))
        time.sleep(seconds)
        seen = tab.evaluate("({...liveheadSeen, sound: liveheadSound()})")
        leave_call(tab)
    page = evaluate_page(seen, begin)
    try:
        delay = estimate_sound_delay_ms(seen["sound"])
    except DeviceError as error:
        log.warning("no A/V offset: %s", error.problem)
        return page
    return replace(page, offset_ms=round(delay - float(np.median(page.latency_ms)), 1))


def check_jump_detection(url: str, camera: Path, sound: Path, poses: Sequence[int], seconds: float) -> dict[str, Json]:
    """Check that the motion detector of ``bench pipeline`` sees in the page's pixels what their time codes say.

    ``camera`` shows two poses in turn, ``poses`` of its pictures. Raises: DeviceError.
    """
    with HeadlessChromium(fake_device_flags(camera, sound)) as browser:
        tab = browser.open_tab(url, policy=False)
        tab.evaluate("window.liveheadThumbnails = true")
        join_call(tab)
        time.sleep(_SETTLE_S)
        tab.evaluate("(liveheadSeen.self.splice(0), liveheadSeen.avatar.splice(0), 0)")
        time.sleep(seconds)
        seen = tab.evaluate("liveheadSeen")
        leave_call(tab)
    return compare_detection(seen, poses)


def compare_detection(page_log: Mapping[str, Any], poses: Sequence[int]) -> dict[str, Json]:
    """``later_ms``: how much later each motion is found in the pixels than in the time codes. Raises: DeviceError."""
    captured = [
        (each["captured"], poses[each["number"]]) for each in page_log["self"] if 0 <= each["number"] < len(poses)
    ]
    shown = [each for each in page_log["avatar"] if 0 <= each["number"] < len(poses)]
    events = [
        (after[0], after[1]) for before, after in zip(captured, captured[1:], strict=False) if before[1] != after[1]
    ]
    while events and events[0][1] != 1:  # the plan begins in pose 0
        del events[0]
    if len(events) < _MIN_JUMPS or not shown:
        raise DeviceError("the page saw too few motions", "is the machine overloaded?")
    moments = np.array([each["shown"] for each in shown])
    pictures = [
        np.frombuffer(base64.b64decode(each["thumbnail"]), np.uint8).reshape(_THUMBNAIL_SHAPE) for each in shown
    ]
    received = ReceivedFrames(np.round(moments * 1e6).astype(np.int64), np.stack(pictures))
    jumps = JumpSchedule(tuple(round(at * 1e6) for at, _ in events), round(captured[-1][0] * 1e6), 1, 30.0)
    found = detect_jumps(received, jumps, 0)
    later = []
    for picture, latency in zip(found.frame_indices, found.latency_ms, strict=True):
        event = int(np.argmin([abs(moments[picture] - latency - at) for at, _ in events]))
        told = [
            at
            for at, each in zip(moments, shown, strict=True)
            if at >= events[event][0] and poses[each["number"]] == events[event][1]
        ]
        if told:
            later.append(float(moments[picture] - told[0]))
    figures = summarize_ms(later)
    agrees = bool(later and abs(figures["median"]) <= MAX_DISAGREEMENT_MS)
    return {"later_ms": dict(figures), "missed": found.missed, "limit_ms": MAX_DISAGREEMENT_MS, "agrees": agrees}


def join_call(tab: BrowserTab) -> None:
    """Join a call on a studio page, which notes its pictures and sound from then on. Raises: DeviceError."""
    folder = resources.files("livehead.bench")
    tab.evaluate((folder / "camera_to_page.js").read_text(encoding="utf-8"))
    tab.wait_until("liveheadSeen.avatar.length > 0", _FIRST_FRAME_TIMEOUT_S)
    tab.wait_until("document.getElementById('avatar').srcObject.getAudioTracks().length", _FIRST_FRAME_TIMEOUT_S)
    tab.evaluate((folder / "page_sound.js").read_text(encoding="utf-8"))


def leave_call(tab: BrowserTab) -> None:
    """End the call by going to another page, since a browser that is killed says no goodbye. Raises: DeviceError."""
    tab.call("Page.navigate", url="about:blank")
    tab.wait_until("location.href === 'about:blank'")


def estimate_sound_delay_ms(loudness_samples: Sequence[Sequence[float]]) -> float:
    """How many ms the second loudness is later than the first, in triples with the time in s. Raises: DeviceError."""
    if not len(loudness_samples):
        raise DeviceError("the page heard nothing", "is there sound in the call?")
    times, own, back = np.array(loudness_samples, np.float64).T
    return estimate_offset(SampledCurve(times, own), SampledCurve(times, back), _MAX_OFFSET_S).ms


def evaluate_page(page_log: Mapping[str, Any], begin_ms: float) -> CameraToPageFigures:
    """The figures of what a page noted (``camera_to_page.js``) from ``begin_ms`` on. Raises: DeviceError."""
    first = page_log["avatar"][0]["shown"] - page_log["joined"]
    captured = [(each["captured"], each["number"]) for each in page_log["self"] if each["number"] >= 0]
    shown = [each for each in page_log["avatar"] if each["shown"] >= begin_ms]
    coded = [each for each in shown if each["number"] >= 0]
    if len(coded) < 2 or not captured:
        raise DeviceError("the page saw no time codes", "is the machine overloaded?")
    latency = match_latencies(captured, [(each["shown"], each["number"]) for each in coded])
    if not latency:
        raise DeviceError("no avatar frame could be tied to its camera frame", "is the machine overloaded?")
    span_s = (coded[-1]["shown"] - coded[0]["shown"]) / 1000
    numbers = [each["number"] for each in coded]
    changes = sum(one != other for one, other in zip(numbers, numbers[1:], strict=False))
    stages = {
        "browser_decode": summarize_ms([each["decoding"] for each in shown]),
        "play_out": summarize_ms(
            [each["shown"] - each["received"] - each["decoding"] for each in shown if each["received"]]
        ),
    }
    for name in _SERVER_TIMES:
        stages[name.removesuffix("_ms")] = summarize_ms([each["server"][name] for each in page_log["figures"]])
    stages["server"] = summarize_ms([each["server"]["total_ms"] for each in page_log["figures"]])
    stages["browser_encode"] = summarize_ms([each["own"]["encode"] for each in page_log["figures"]])
    stages["network"] = summarize_ms([each["own"]["network"] for each in page_log["figures"]])
    return CameraToPageFigures(latency, stages, round(first / 1000, 3), round(changes / span_s, 2))


def match_latencies(captured: Sequence[tuple[float, int]], shown: Sequence[tuple[float, int]]) -> list[float]:
    """The age in ms of each number when it was first shown, counted from its newest capture before that.

    ``captured`` and ``shown`` are pairs of a moment in ms and a number.

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
        if ages and min(ages) < _MAX_AGE_MS:
            result.append(min(ages))
    return result
