"""A preview window with hotkeys, drawn by OpenCV's highgui in a process of its own.

The window shows the avatar as in a mirror; what other sinks send is never mirrored.
"""

from __future__ import annotations

import asyncio
import enum
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType

import numpy as np

from livehead.clock import NS, now_ns
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import Frame, VideoFrame
from livehead.sinks import window_process
from livehead.sinks.window_process import REQUEST_HEADER, WINDOW_CLOSED

_POLL_INTERVAL_S = 0.05  # how often keys are looked for when no picture comes
_RATE_WINDOW_NS = 2 * NS


class WindowKey(enum.Enum):
    """The window's hotkeys; each value is the key that a person presses."""

    RECALIBRATE = "r"
    NEXT_AVATAR = "n"
    FREEZE = "f"
    MIRROR = "m"
    NEXT_GAIN = "g"
    GAIN_UP = "+"
    GAIN_DOWN = "-"
    QUIT = "q"


_HELP_LINE = "r recalibrate   n next avatar   f freeze   m mirror   g gain + -   q quit"
_ESCAPE = 27
_KEYS_BY_CODE = {ord(key.value): key for key in WindowKey} | {
    _ESCAPE: WindowKey.QUIT,
    WINDOW_CLOSED: WindowKey.QUIT,
    ord("="): WindowKey.GAIN_UP,  # the + key without shift
}


class WindowSink:
    """Shows pictures with their rate and latency in a window, and reports the keys pressed there.

    ``mirror``: show the picture mirrored left to right; the window's ``m`` key switches this.
    ``on_key``: called on the event loop with each key; closing the window counts as ``QUIT``.
    ``status_text``: called for each picture; returns a few words to show beside the rate and the latency.
    ``open_timeout_s``: a window system that does not answer for so long is given up.
    Raises: SinkError, on entering when there is no screen, on sending once the window is closed.
    """

    def __init__(
        self,
        title: str = "livehead",
        *,
        mirror: bool = True,
        on_key: Callable[[WindowKey], None] | None = None,
        status_text: Callable[[], str] | None = None,
        open_timeout_s: float = 10.0,
    ) -> None:
        self.title = title
        self.mirror = mirror
        self._on_key = on_key or (lambda key: None)
        self._status_text = status_text or (lambda: "")
        self._open_timeout_s = open_timeout_s
        self._shown_times_ns: deque[int] = deque()
        self._latency_ms = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = AsyncExitStack()
        self._worker = Worker("window")

    @property
    def fps(self) -> float:
        """Pictures shown a second, over the last two seconds."""
        times = tuple(self._shown_times_ns)
        return (len(times) - 1) * NS / (times[-1] - times[0]) if len(times) > 1 else 0.0

    async def __aenter__(self) -> WindowSink:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._close_window)
            watchdog = asyncio.get_running_loop().call_later(self._open_timeout_s, self._kill_process)
            stack.callback(watchdog.cancel)
            await self._worker.run(self._open_window)
            watchdog.cancel()
            polling = asyncio.create_task(self._poll_keys(), name="window-keys")
            stack.push_async_callback(_cancel_task, polling)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Show one picture; sound is ignored. Raises: SinkError once the window is closed."""
        if isinstance(frame, VideoFrame):
            self._dispatch_keys(await self._worker.run(self._show_frame, frame))

    async def _poll_keys(self) -> None:
        """Report keys also while no picture comes, until the window is closed."""
        with suppress(SinkError):  # ``send`` raises it too
            while True:
                await asyncio.sleep(_POLL_INTERVAL_S)
                self._dispatch_keys(await self._worker.run(self._send_request, REQUEST_HEADER.pack(0, 0, 0, 0)))

    def _dispatch_keys(self, codes: list[int]) -> None:
        for key in [_KEYS_BY_CODE[code] for code in codes if code in _KEYS_BY_CODE]:
            if key is WindowKey.MIRROR:
                self.mirror = not self.mirror
            self._on_key(key)

    def _open_window(self) -> None:
        remedy = "start it on a desktop, or use --sink virtualcam or file:OUT.mp4"
        screen = os.environ.get("DISPLAY", "")
        if sys.platform == "linux" and not screen:
            raise SinkError("there is no screen for a preview window", remedy)
        command = [sys.executable, "-P", window_process.__file__, self.title]
        # a session of its own keeps Ctrl-C away from the window's process, which ends with its input
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._send_request(REQUEST_HEADER.pack(0, 0, 0, 0))
        except SinkError as error:
            raise SinkError(f"no window can be opened on screen {screen}", remedy, subject=screen) from error

    def _kill_process(self) -> None:
        """Kill the window's process, which also ends the wait for its reply."""
        if self._process is not None:
            self._process.kill()

    def _show_frame(self, frame: VideoFrame) -> list[int]:
        width, height = frame.size
        text = f"{self.fps:.0f} fps   {self._latency_ms:.0f} ms   {self._status_text()}\n{_HELP_LINE}".encode()
        head = REQUEST_HEADER.pack(width, height, self.mirror, len(text))
        codes = self._send_request(head, text, np.ascontiguousarray(frame.image[..., :3]).data.cast("B"))
        self._update_figures(now_ns(), frame.captured_ns)
        return codes

    def _send_request(self, *parts: bytes | memoryview) -> list[int]:
        """Send one request and return the codes of the keys in its reply. Raises: SinkError when the window is gone."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise SinkError("the preview window is not open")
        try:
            for part in parts:
                process.stdin.write(part)
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError:
            reply = b""
        if not reply.endswith(b"\n"):
            raise SinkError("the preview window was closed", "start again to see it")
        return [int(code) for code in reply.split()]

    def _update_figures(self, shown_ns: int, captured_ns: int) -> None:
        self._shown_times_ns.append(shown_ns)
        while shown_ns - self._shown_times_ns[0] > _RATE_WINDOW_NS:
            self._shown_times_ns.popleft()
        latency_ms = (shown_ns - captured_ns) / 1e6
        # smoothed: a figure that changes with each frame cannot be read
        self._latency_ms += (latency_ms - self._latency_ms) * (0.05 if self._latency_ms else 1.0)

    def _close_window(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _cancel_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
