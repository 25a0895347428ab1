"""Ends a command by Ctrl-C or a termination signal: gracefully at the first, by force if that takes too long, and at
once at a second.

``handle_interrupts`` is for the command line, whose process it may end by force. A program that embeds livehead keeps
its own handlers, or has ``stop_on_signals`` alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 4.5
"""Seconds from the first signal to the end of the process by force."""

_FINISHING_LIMIT_S = 60.0  # the longest that a file which is being finished puts off the end by force
_SAME_SIGNAL_S = 0.3  # a terminal and a program that started this one may both send it, which counts once
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_BASE = 128  # a shell's exit status for a process that a signal ended is this and the signal's number


class _SignalWatcher:
    """A thread that hears of every signal, also while the main thread is busy in a library and handles none."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._finishing = threading.Semaphore()
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="livehead-signals", daemon=True).start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        self._writer.close()

    @contextmanager
    def finish_file(self) -> Iterator[None]:
        with self._finishing:
            yield

    def _watch(self) -> None:
        with self._reader:
            first = self._read_signal(None)
            if first is None:
                return
            first_s = time.monotonic()
            while (left_s := first_s + self._grace_s - time.monotonic()) > 0:
                second = self._read_signal(left_s)
                if second is None:
                    return
                if second and time.monotonic() - first_s > _SAME_SIGNAL_S:
                    _exit_now(second, "ended at once")
            self._finishing.acquire(timeout=_FINISHING_LIMIT_S)
            _exit_now(first, f"not everything came to its end in {self._grace_s:g} s, so it was ended by force")

    def _read_signal(self, timeout_s: float | None) -> int | None:
        """Return the next signal's number, 0 after ``timeout_s`` without one, or None when the watcher is closed."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if deadline_s is not None:
                self._reader.settimeout(max(deadline_s - time.monotonic(), 0.001))
            try:
                received = self._reader.recv(1)
            except TimeoutError:
                return 0
            if not received:
                return None
            if received[0] in _SIGNALS:
                return received[0]


_watcher: _SignalWatcher | None = None


@contextmanager
def handle_interrupts(grace_s: float = GRACE_S) -> Iterator[None]:
    """While this is open, a signal has ``grace_s`` seconds to end the work, and a second one ends the process at once.

    SIGTERM does what Ctrl-C does. Outside the main thread nothing changes, as Python gives signals to that alone.
    """
    global _watcher
    if threading.current_thread() is not threading.main_thread() or _watcher is not None:
        yield
        return
    _watcher = watcher = _SignalWatcher(grace_s)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _watcher = None
        watcher.close()


def stop_on_signals(stop: Callable[[], None], seconds: float | None = None) -> None:
    """Make the running loop call ``stop`` at the first signal, or after ``seconds``.

    Outside the main thread signals are left alone.
    """
    loop = asyncio.get_running_loop()
    if seconds is not None:
        loop.call_later(seconds, stop)
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, lambda *_: _call_in_loop(loop, stop))


@contextmanager
def finish_file() -> Iterator[None]:
    """While this is open, a file of the person's is being finished, for which an end by force waits."""
    if _watcher is None:
        yield
        return
    with _watcher.finish_file():
        yield


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Do at SIGTERM what Ctrl-C does now: asyncio's handler cancels its main task, Python's own raises."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def _call_in_loop(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    if loop.is_closed():
        raise KeyboardInterrupt
    loop.call_soon_threadsafe(stop)


def _exit_now(number: int, reason: str) -> None:
    """End the process without unwinding, which would wait for what hangs."""
    os.write(2, f"\nlivehead: {reason}\n".encode())
    os._exit(_EXIT_BASE + number)


def _forget_watcher() -> None:
    """Leave the signals of a forked process to itself: they are not those of the process that it came from."""
    global _watcher
    if _watcher is not None:
        _watcher = None
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_watcher)
