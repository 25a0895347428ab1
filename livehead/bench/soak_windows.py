"""A call that goes on for long: does memory grow, do sound and picture drift apart, does the avatar become later?

One page is watched, in windows of some seconds. A window has the latency of the picture (by time code) and that of the
sound (by the loudness of the microphone against that of what comes back). Their difference is the A/V offset: how far
apart one sees and hears what a performer does and says at one moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livehead.bench.camera_to_page import estimate_sound_delay_ms, join_call, match_latencies
from livehead.bench.harness.chromium import HeadlessChromium, fake_device_flags
from livehead.bench.process_usage import read_process_usage
from livehead.errors import DeviceError
from livehead.reporting.report import Json
from livehead.stats import summarize_ms

WINDOW_S = 15.0
MAX_GROWTH_MB, MAX_OFFSET_CHANGE_MS, MAX_DRIFT_MS = 20.0, 20.0, 10.0
"""Limits of a call that holds: growth of the server's memory, change of the A/V offset, drift of the latency."""

_HISTORY_MS = 6000.0
_MIN_END_WINDOWS = 5  # at either end of the call, whose medians are compared; a tenth of all windows when that is more
_DRAIN_SCRIPT = """(() => {
    const seen = { self: liveheadSeen.self.splice(0), avatar: liveheadSeen.avatar.splice(0), sound: liveheadSound() };
    liveheadSeen.figures.length = 0;
    return seen;
})()"""


@dataclass(frozen=True, slots=True)
class SoakWindow:
    """Figures of the window that ends ``at_s`` after joining.

    ``picture_ms`` and ``sound_ms`` are medians of how much later they come than from the page's own devices;
    ``offset_ms`` is the sound's offset to the picture, ``fps`` the page's frame rate, ``resident_mb`` and ``threads``
    are the server's. A figure for which too little came is None.
    """

    at_s: float
    picture_ms: float | None
    sound_ms: float | None
    offset_ms: float | None
    fps: float
    resident_mb: float
    threads: int


def run_soak(
    url: str,
    pid: int,
    camera: Path,
    sound: Path,
    seconds: float,
    on_window: Callable[[SoakWindow], None] = lambda window: None,
) -> list[SoakWindow]:
    """Join at ``url``, which process ``pid`` serves, and stay for ``seconds``. Raises: DeviceError."""
    windows: list[SoakWindow] = []
    captured: list[tuple[float, int]] = []
    with HeadlessChromium(fake_device_flags(camera, sound)) as browser:
        tab = browser.open_tab(url, policy=False)
        join_call(tab)
        tab.evaluate(_DRAIN_SCRIPT)
        start = before = time.monotonic()
        while before - start < seconds:
            time.sleep(WINDOW_S)
            seen, now = tab.evaluate(_DRAIN_SCRIPT), time.monotonic()
            window = _evaluate_window(seen, captured, now - start, now - before, pid)
            before = now
            windows.append(window)
            on_window(window)
    return windows


def _evaluate_window(
    page_log: Any, captured: list[tuple[float, int]], at_s: float, length_s: float, pid: int
) -> SoakWindow:
    captured += [(each["captured"], each["number"]) for each in page_log["self"] if each["number"] >= 0]
    if captured:
        captured[:] = [each for each in captured if each[0] > captured[-1][0] - length_s * 1000 - _HISTORY_MS]
    shown = [(each["shown"], each["number"]) for each in page_log["avatar"] if each["number"] >= 0]
    ages = match_latencies(captured, shown)
    picture = round(float(np.median(ages)), 1) if ages else None
    try:
        heard = estimate_sound_delay_ms(page_log["sound"])
    except DeviceError:
        heard = None
    offset = None if picture is None or heard is None else round(heard - picture, 1)
    usage = read_process_usage(pid)
    return SoakWindow(
        at_s=round(at_s, 1),
        picture_ms=picture,
        sound_ms=heard,
        offset_ms=offset,
        fps=round(len(page_log["avatar"]) / length_s, 1),
        resident_mb=round(usage.resident_mb, 1),
        threads=usage.threads,
    )


def assess_soak(windows: Sequence[SoakWindow]) -> dict[str, Json]:
    """Changes from the call's begin (after its first minute, while caches fill) to its end, and whether they hold.

    Raises: DeviceError when too little was measured.
    """
    rest = [window for window in windows if window.at_s > 60] or list(windows)
    part = max(len(rest) // 10, min(_MIN_END_WINDOWS, len(rest) // 2))
    if not part:
        raise DeviceError("the call was too short to compare its begin and its end", "--minutes 3 at least")

    def median_change(name: str) -> float | None:
        ends = [[getattr(each, name) for each in piece] for piece in (rest[:part], rest[-part:])]
        known = [[value for value in end if value is not None] for end in ends]
        return round(float(np.median(known[1]) - np.median(known[0])), 1) if all(known) else None

    changes = {
        "memory_mb": median_change("resident_mb"),
        "offset_ms": median_change("offset_ms"),
        "picture_ms": median_change("picture_ms"),
    }
    limits = {"memory_mb": MAX_GROWTH_MB, "offset_ms": MAX_OFFSET_CHANGE_MS, "picture_ms": MAX_DRIFT_MS}
    return {
        "minutes": round(windows[-1].at_s / 60, 1),
        "windows": [asdict(window) for window in windows],
        "picture_ms": summarize_ms([each.picture_ms for each in rest if each.picture_ms is not None]),
        "offset_ms": summarize_ms([each.offset_ms for each in rest if each.offset_ms is not None]),
        "change": dict(changes),
        "limits": dict(limits),
        "holds": {
            name: value is not None and (value if name == "memory_mb" else abs(value)) < limits[name]
            for name, value in changes.items()
        },
    }
