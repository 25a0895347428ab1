"""The PipeWire camera before a real browser: do frames arrive in an ordinary page, whole, in sequence and in time?

Runs on Linux without a screen and without a kernel module: starts PipeWire and the camera portal on a session bus of
its own, feeds livehead's PipeWireSink numbered pictures and lets an unmodified Chromium look. Prints figures as JSON;
exit status 0 when all is well, 1 when not, 3 when a program is missing. Installs nothing. About 15 seconds.

    python scripts/test_pipewire.py [--size 1280x720] [--fps 30] [--seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from devices import barcode, browser, desktop
from devices.report import EXIT_CANNOT_RUN, summarize_ages, write_report

from livehead.frames import VideoFrame
from livehead.sinks.pipewire import PipeWireSink

LABEL = "Livehead Avatar"
BROWSER_TIMEOUT_S = 60.0
FLAGS = ("--enable-features=WebRtcPipeWireCamera", "--autoplay-policy=no-user-gesture-required")


async def send_frames(
    sink: PipeWireSink, done: asyncio.Event, sent: dict[int, float], send_times_ms: list[float]
) -> None:
    """Send numbered pictures until ``done``, noting when each was sent (Unix ms) and what sending cost (ms)."""
    due = time.monotonic()
    number = 0
    while not done.is_set():
        frame = VideoFrame(barcode.draw_barcode(number, *sink.size), number, Fraction(1, sink.fps), time.monotonic_ns())
        sent[number & 0xFFFF] = time.time() * 1000
        before = time.perf_counter()
        await sink.send(frame)
        send_times_ms.append((time.perf_counter() - before) * 1000)
        number += 1
        due = max(due + 1 / sink.fps, time.monotonic())  # late frames are not made up for in a burst
        await asyncio.sleep(due - time.monotonic())


async def measure_camera(size: tuple[int, int], fps: int, seconds: float) -> dict[str, Any]:
    """Feeder and browser side by side; the page's report judged. Raises: SinkError, BrowserError."""
    done = asyncio.Event()
    sent: dict[int, float] = {}
    spent: list[float] = []
    async with PipeWireSink(size, fps, LABEL) as sink, asyncio.TaskGroup() as group:
        group.create_task(send_frames(sink, done, sent, spent))
        try:
            report = await asyncio.to_thread(
                browser.watch_camera, LABEL, size, fps, seconds, BROWSER_TIMEOUT_S, flags=FLAGS
            )
        finally:
            done.set()
    return summarize_report(report, sent, statistics.median(spent), size, fps)


def summarize_report(
    report: dict[str, Any], sent: dict[int, float], send_ms: float, size: tuple[int, int], fps: int
) -> dict[str, Any]:
    """The figures, and whether they pass. The first second is the browser's start and is left out."""
    skip = min(fps, len(report["times"]) // 3)
    numbers, times = report["numbers"][skip:], report["times"][skip:]
    figures: dict[str, Any] = dict(barcode.summarize_sequence(numbers, report["coloursRight"][skip:]))
    figures["label"], figures["sizes"], figures["colours"] = report["label"], report["sizes"], report["colours"]
    figures["attempts"] = report["attempts"]
    if len(times) < 2:
        return {**figures, "passed": False, "problem": f"only {len(report['times'])} frames arrived"}
    figures["fps"] = round((len(times) - 1) * 1000 / (times[-1] - times[0]), 2)
    ages = [at - sent[number] for number, at in zip(numbers, times, strict=True) if number in sent]
    figures["send_to_page_ms"] = summarize_ages(ages)
    figures["send_ms"] = round(send_ms, 2)
    figures["passed"] = (
        figures["sizes"] == [f"{size[0]}x{size[1]}"]
        and figures["label"].startswith(LABEL)
        and figures["unreadable"] == figures["disordered"] == figures["colours_wrong"] == 0
        and figures["missed"] + figures["repeated"] <= 0.1 * figures["frames"]  # a shared machine hiccups
        and figures["fps"] >= 0.9 * fps
    )
    return figures


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the page looks")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args()


def main() -> int:
    chosen = parse_options()
    lacking = desktop.missing_programs() + ([] if browser.find_chromium() else ["chromium"])
    if lacking:
        print(f"missing: {', '.join(lacking)}. On Debian and Ubuntu: sudo apt-get install {desktop.PACKAGES}")
        return EXIT_CANNOT_RUN
    width, height = (int(part) for part in chosen.size.split("x"))
    begun = time.monotonic()
    with desktop.run_services():
        results = asyncio.run(measure_camera((width, height), chosen.fps, chosen.seconds))
    results["wall_s"] = round(time.monotonic() - begun, 1)
    report = {"command": "scripts/test_pipewire.py", "settings": {"size": chosen.size, "fps": chosen.fps}}
    write_report({**report, "results": results}, chosen.json)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
