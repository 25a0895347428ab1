"""Ends a live command by Ctrl-C, by a termination signal, or when its time is over."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable


def stop_on_signals(stop: Callable[[], None], seconds: float | None = None) -> None:
    """Make the running loop call ``stop`` at the first signal, or after ``seconds``."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        else:
            loop.add_signal_handler(number, stop)
    if seconds is not None:
        loop.call_later(seconds, stop)
