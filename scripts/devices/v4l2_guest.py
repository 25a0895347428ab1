"""What `scripts/test_v4l2.py` runs inside the virtual machine: livehead's camera ends on real video devices."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from devices import barcode, browser, v4l2_machine

from livehead.capture.camera import CameraCapture
from livehead.errors import CaptureError, LiveheadError, SinkError
from livehead.frames import VideoFrame
from livehead.sinks.virtual_camera import VirtualCameraSink

SIZE = (320, 240)
FPS = 10
LOOPBACK = "/dev/video10"
WEBCAM = "/dev/video20"
_SETTLE_FRAMES, _JUDGED_FRAMES = 40, 60  # frames: a browser's start keeps two emulated processors busy for long
# Chromium gives a process of its own 15 s to come up, which is little here.
_SINGLE_PROCESS_FLAGS = ("--in-process-gpu", "--enable-features=NetworkServiceInProcess2")
VIVID = Path("/sys/bus/platform/drivers/vivid")
LABEL = "Livehead Avatar"


def make_sink(device: str = LOOPBACK) -> VirtualCameraSink:
    return VirtualCameraSink(size=SIZE, fps=FPS, device=device)


def make_capture(device: str, told: list[str] | None = None) -> CameraCapture:
    notices: list[str] = [] if told is None else told
    return CameraCapture(device, size=SIZE, fps=FPS, on_notice=notices.append)


@contextlib.asynccontextmanager
async def numbered_camera() -> AsyncIterator[None]:
    """A virtual camera that shows numbered pictures as long as the block runs."""
    async with make_sink() as camera:
        feeding = asyncio.Event()
        feeder = asyncio.create_task(_send_frames(camera, feeding))
        await feeding.wait()  # from the first picture on the device is a camera
        try:
            yield
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)


async def _send_frames(camera: VirtualCameraSink, feeding: asyncio.Event) -> None:
    due = time.monotonic()
    number = 0
    while True:
        frame = VideoFrame(barcode.draw_barcode(number, *SIZE), number, Fraction(1, FPS), time.monotonic_ns())
        await camera.send(frame)
        feeding.set()
        number += 1
        due = max(due + 1 / FPS, time.monotonic())  # late frames are not made up for in a burst
        await asyncio.sleep(due - time.monotonic())


async def sink_to_capture(frames: int = 60) -> dict[str, Any]:
    """Numbered pictures through the virtual camera into livehead's own capture."""
    numbers: list[int | None] = []
    colours: list[bool] = []
    times: list[float] = []
    async with numbered_camera(), make_capture(LOOPBACK) as camera:
        for _ in range(frames):
            frame = await camera.recv()
            times.append(time.monotonic())
            numbers.append(barcode.read_barcode(frame.image))
            colours.append(barcode.are_colours_correct(frame.image))
        dropped = camera.dropped
    figures: dict[str, Any] = dict(barcode.summarize_sequence(numbers, colours))
    figures["fps"] = round((frames - 1) / (times[-1] - times[0]), 2)
    figures["dropped"] = dropped
    figures["size"] = "x".join(map(str, frame.size))
    steady = figures["missed"] + figures["repeated"] <= 0.15 * frames
    figures["passed"] = figures["size"] == "x".join(map(str, SIZE)) and steady and _is_in_sequence(figures)
    return figures


async def sink_to_browser() -> dict[str, Any]:
    """Numbered pictures through the virtual camera into an unmodified Chromium. Raises: BrowserError."""
    async with numbered_camera():
        report = await asyncio.to_thread(
            browser.watch_camera,
            LABEL,
            SIZE,
            FPS,
            0.0,
            200.0,
            least=_SETTLE_FRAMES + _JUDGED_FRAMES,
            flags=_SINGLE_PROCESS_FLAGS,
        )
    numbers, times = report["numbers"][-_JUDGED_FRAMES:], report["times"][-_JUDGED_FRAMES:]
    figures: dict[str, Any] = dict(barcode.summarize_sequence(numbers, report["coloursRight"][-_JUDGED_FRAMES:]))
    if len(times) > 1:
        figures["fps"] = round((len(times) - 1) * 1000 / (times[-1] - times[0]), 2)
    figures["label"], figures["sizes"], figures["colours"] = report["label"], report["sizes"], report["colours"]
    # How many frames a browser misses depends on the emulated processor's share of a busy host: reported, not judged.
    figures["passed"] = figures["sizes"] == ["x".join(map(str, SIZE))] and _is_in_sequence(figures)
    return figures


def _is_in_sequence(figures: dict[str, Any]) -> bool:
    return bool(figures["unreadable"] == figures["disordered"] == figures["colours_wrong"] == 0)


async def webcam_unplugged() -> dict[str, Any]:
    """A webcam is pulled out while in use, and plugged in again."""

    def unplug() -> None:
        (VIVID / "unbind").write_text("vivid.0")

    def plug_in() -> None:
        (VIVID / "bind").write_text("vivid.0")

    return await _measure_interruption(WEBCAM, unplug, plug_in)


async def producer_ended() -> dict[str, Any]:
    """The program that feeds the virtual camera ends while another reads it, and comes back."""
    async with contextlib.AsyncExitStack() as producers:
        await producers.enter_async_context(numbered_camera())
        stack = producers.pop_all()

        async def come_back() -> None:
            await producers.enter_async_context(numbered_camera())

        return await _measure_interruption(LOOPBACK, stack.aclose, come_back)


async def _measure_interruption(
    device: str, stop: Callable[[], Awaitable[None] | None], start: Callable[[], Awaitable[None] | None]
) -> dict[str, Any]:
    """Read ``device``, stop it, start it: seconds until stale frames and until fresh ones, and what was told."""
    told: list[str] = []
    async with make_capture(device, told) as camera, asyncio.timeout(60):
        for _ in range(5):
            last = await camera.recv()
        await _await_optional(stop())
        stopped = time.monotonic()
        frame = last
        while not frame.attached.get("stale"):
            last, frame = frame, await camera.recv()
        figures: dict[str, Any] = {"stale_after_s": round(time.monotonic() - stopped, 1)}
        figures["keeps_last_picture"] = bool((frame.image == last.image).all())
        figures["connected_meanwhile"] = camera.status.connected
        figures["size"] = "x".join(map(str, frame.size))
        await _await_optional(start())
        started = time.monotonic()
        while frame.attached.get("stale"):
            frame = await camera.recv()
        figures["fresh_after_s"] = round(time.monotonic() - started, 1)
        for _ in range(5):
            frame = await camera.recv()
        figures["reopened"] = camera.status.reopened
    figures["told"] = told
    figures["passed"] = (
        figures["keeps_last_picture"]
        and not figures["connected_meanwhile"]
        and figures["reopened"] == 1
        and not frame.attached.get("stale")
        and any("gone" in line for line in told)
        and any("back" in line for line in told)
    )
    return figures


async def _await_optional(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


async def refusals() -> dict[str, Any]:
    """Devices that are busy or missing: one line each, of the right kind."""
    lines: dict[str, str] = {}
    lines["capture of a virtual camera that nobody feeds"] = await _expect_error(make_capture(LOOPBACK), CaptureError)
    lines["capture of a missing device"] = await _expect_error(make_capture("/dev/video55"), CaptureError)
    lines["sink on a missing device"] = await _expect_error(make_sink("/dev/video55"), SinkError)
    async with make_capture(WEBCAM) as first:
        await first.recv()
        lines["capture of a webcam in use"] = await _expect_error(make_capture(WEBCAM), CaptureError)
    command = [sys.executable, "-m", "devices.v4l2_guest", "feed"]
    other = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    await asyncio.wait_for(other.stdout.readline(), 60)
    lines["sink on a camera that another program feeds"] = await _expect_error(make_sink(), SinkError)
    other.kill()
    await other.wait()
    async with make_sink() as camera:  # a producer that was killed leaves the device usable
        lines["sink after a killed producer"] = f"opened {camera.description}"
    right = all(line and "\n" not in line and not line.startswith("WRONG") for line in lines.values())
    return {"lines": lines, "passed": right}


async def _expect_error(end: contextlib.AbstractAsyncContextManager[Any], kind: type[LiveheadError]) -> str:
    try:
        async with end:
            return "WRONG: it opened"
    except LiveheadError as error:
        return str(error) if isinstance(error, kind) and error.remedy else f"WRONG: {error!r}"


async def main() -> None:
    results: dict[str, Any] = {}
    for scenario in (sink_to_capture, webcam_unplugged, producer_ended, refusals, sink_to_browser):
        begun = time.monotonic()
        try:
            outcome = await scenario()
        except (LiveheadError, browser.BrowserError, OSError, TimeoutError) as error:
            outcome = {"passed": False, "problem": f"{type(error).__name__}: {error}"}
        results[scenario.__name__] = {**outcome, "wall_s": round(time.monotonic() - begun, 1)}
        sys.stdout.write(f"{scenario.__name__}: {results[scenario.__name__]}\n")
        sys.stdout.flush()
    v4l2_machine.report_results(results)


async def feed_until_killed() -> None:
    """Be another program that feeds the virtual camera, until killed."""
    async with numbered_camera():
        sys.stdout.write("feeding\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(feed_until_killed() if sys.argv[1:] == ["feed"] else main())
