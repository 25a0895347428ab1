"""The webcam, read through OpenCV on a thread of its own and reopened after it was unplugged."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from livehead.capture.video_device import DeviceOpener, VideoDevice, exposure_hint, open_device, open_error
from livehead.clock import NS, TIME_BASE, ExponentialBackoff, PtsClock, now_ns
from livehead.concurrency import Latest, Worker
from livehead.errors import CaptureError
from livehead.frames import VideoFrame

log = logging.getLogger(__name__)

_LOW_RATE_SHARE = 0.7  # below this share of its own usual rate the camera is called slow; a dark room halves it


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Holds what is known of a camera while it runs."""

    connected: bool = False
    fps: float = 0.0
    """The measured frame rate; 0 until it is known."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the frames that the camera gives."""
    reopened: int = 0
    """How often the camera came back after it was unplugged."""


class CameraCapture:
    """Gives RGB frames of a webcam; a frame not fetched in time is replaced by the next and counted in ``dropped``.

    ``device``: index, or a path like ``/dev/video0``. ``size`` (width, height) and ``fps`` are requested; the camera
    may give others. MJPG is requested, since raw formats reach 720p at only 10 fps over USB 2.
    ``on_notice``: called on the event loop with what the person should know (a dark room, an unplugged camera), once
    each. ``opener``: replaces OpenCV's opening of ``device``.
    ``first_frame_timeout_s``: cheap webcams need some seconds to wake up. ``stall_timeout_s``: without a frame for so
    long the camera counts as unplugged. ``reopen_backoff``: the waits between attempts to open it again, by default
    0.25 s to 2 s. ``rate_window``: the frame intervals whose median is the measured rate.

    While the camera is unplugged its last frame is repeated at ``fps``, with ``attached["stale"]`` true.
    Raises (on entering): CaptureError when the camera is absent or busy.
    """

    def __init__(
        self,
        device: int | str = 0,
        *,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        on_notice: Callable[[str], None] | None = None,
        opener: DeviceOpener | None = None,
        first_frame_timeout_s: float = 5.0,
        stall_timeout_s: float = 1.0,
        reopen_backoff: ExponentialBackoff | None = None,
        rate_window: int = 45,
    ) -> None:
        self.device = device
        self._fps = fps
        self._size = size
        self._on_notice = on_notice or log.warning
        self._opener = opener or (lambda: open_device(device, size, fps))
        self._first_frame_timeout_s = first_frame_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._backoff = reopen_backoff or ExponentialBackoff(0.25, 2.0)
        self._status = CameraStatus()
        self._slot: Latest[VideoFrame] = Latest()
        self._stopping = threading.Event()
        self._timeline = PtsClock(TIME_BASE)
        self._intervals: deque[int] = deque(maxlen=rate_window)
        self._usual_fps = 0.0
        self._last_frame: VideoFrame | None = None
        self._notified_topics: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()

    @property
    def status(self) -> CameraStatus:
        """The camera's state at this moment."""
        rate = NS / median(intervals) if len(intervals := tuple(self._intervals)) > 1 else 0.0
        return replace(self._status, fps=rate)

    @property
    def dropped(self) -> int:
        """Frames replaced by a newer one before they were fetched."""
        return self._slot.dropped

    async def __aenter__(self) -> CameraCapture:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(Worker("camera"))
            first_frame: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            reading = asyncio.ensure_future(worker.run(self._run_camera_thread, first_frame))
            reading.add_done_callback(partial(self._on_thread_end, first_frame))
            stack.push_async_callback(self._stop_thread, reading)
            await first_frame
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> VideoFrame:
        """The newest frame that was not fetched before. Raises: EndOfStream once closed."""
        return await self._slot.get()

    async def _stop_thread(self, reading: asyncio.Future[None]) -> None:
        self._stopping.set()
        self._slot.close()
        await asyncio.wait([reading])

    def _run_camera_thread(self, first_frame: asyncio.Future[None]) -> None:
        """Open the device, resolve ``first_frame``, read frames, and reopen after a stall, until the capture stops.

        This runs on the camera's thread. Raises: CaptureError when the camera gives no first frame.
        """
        device = self._opener()
        try:
            if device is None or not self._read_frame(device, timeout_s=self._first_frame_timeout_s):
                raise open_error(self.device, opened=device is not None)
            self._call_on_loop(_resolve_future, first_frame)
            self._notify_other_size()
            while not self._stopping.is_set():
                if device is None:
                    device = self._reopen_device()
                elif not self._read_frame(device, timeout_s=self._stall_timeout_s):
                    device.release()
                    device = None
                else:
                    self._notify_low_rate(device.promised_fps)
        finally:
            if device is not None:
                device.release()

    def _read_frame(self, device: VideoDevice, timeout_s: float) -> bool:
        """Put the next frame into the slot; return False when none came for ``timeout_s``."""
        deadline_ns = now_ns() + round(timeout_s * NS)
        while not self._stopping.is_set():
            if device.grab():
                captured_ns = now_ns()
                ok, bgr = device.retrieve()
                if ok:
                    self._publish_frame(bgr, captured_ns)
                    return True
            if now_ns() > deadline_ns:
                return False
            self._stopping.wait(0.01)  # an unplugged device refuses at once
        return True

    def _publish_frame(self, bgr: npt.NDArray[np.uint8], captured_ns: int) -> None:
        if self._last_frame is not None and self._status.connected:
            self._intervals.append(captured_ns - self._last_frame.captured_ns)
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        self._last_frame = VideoFrame(image, self._timeline.to_pts(captured_ns), TIME_BASE, captured_ns)
        self._status = replace(self._status, connected=True, size=self._last_frame.size)
        self._slot.put(self._last_frame)

    def _reopen_device(self) -> VideoDevice | None:
        """Try until the camera is back, repeating its last frame meanwhile; None when the capture stops."""
        self._status = replace(self._status, connected=False)
        self._intervals.clear()
        self._usual_fps = 0.0  # another camera may be plugged in
        self._notify(f"camera {self.device} is gone: its last picture stays until it is plugged in again")
        self._backoff.reset()
        while not self._stopping.is_set():
            self._repeat_last_frame(self._backoff.next_delay_s())
            device = None if self._stopping.is_set() else self._opener()
            if device is None:
                continue
            if self._read_frame(device, timeout_s=self._stall_timeout_s):
                self._status = replace(self._status, reopened=self._status.reopened + 1)
                self._notify(f"camera {self.device} is back")
                return device
            device.release()
        return None

    def _repeat_last_frame(self, seconds: float) -> None:
        end_ns = now_ns() + round(seconds * NS)
        while now_ns() < end_ns and not self._stopping.wait(1 / self._fps):
            if self._last_frame is not None:
                moment_ns = now_ns()
                self._slot.put(
                    VideoFrame(
                        self._last_frame.image, self._timeline.to_pts(moment_ns), TIME_BASE, moment_ns, {"stale": True}
                    )
                )

    def _notify_low_rate(self, promised_fps: float) -> None:
        """Tell once that the camera slowed down: below what it gave before, or what it is set to but never gave.

        A camera that has no more than 15 or 25 frames a second gains nothing by more light.
        """
        if len(self._intervals) < (self._intervals.maxlen or 0):
            return
        fps = self.status.fps
        self._usual_fps = max(self._usual_fps, fps, min(promised_fps, self._fps))
        if fps < _LOW_RATE_SHARE * self._usual_fps:
            self._notify_once(
                "rate",
                f"camera {self.device} gives {fps:.0f} of {self._usual_fps:.0f} frames a second: in a dark room its "
                f"exposure takes longer; add light{exposure_hint(self.device)}",
            )

    def _notify_other_size(self) -> None:
        if self._status.size != self._size:
            given, asked = "x".join(map(str, self._status.size)), "x".join(map(str, self._size))
            self._notify_once("size", f"camera {self.device} gives {given} instead of {asked}")

    def _notify_once(self, topic: str, text: str) -> None:
        if topic not in self._notified_topics:
            self._notified_topics.add(topic)
            self._notify(text)

    def _notify(self, text: str) -> None:
        self._call_on_loop(self._on_notice, text)

    def _call_on_loop(self, fn: Callable[..., object], *args: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(fn, *args)

    def _on_thread_end(self, first_frame: asyncio.Future[None], reading: asyncio.Future[None]) -> None:
        """Pass an error of the camera's thread on to the caller that waits for the first frame or the next."""
        error = None if reading.cancelled() else reading.exception()
        if error is None:
            _resolve_future(first_frame)
        elif not first_frame.done():
            first_frame.set_exception(error)
        else:
            self._slot.close(CaptureError(f"camera {self.device} failed ({error})", "start again"))


def _resolve_future(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
