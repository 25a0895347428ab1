"""How far a long piece of work has got: a bar on a terminal, and elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

_LINE_INTERVAL_S = 10.0


class ProgressMeter:
    """Shows how much of some work is done, how fast it goes, and what time is left if ``total`` is known.

    On a terminal it is a bar on standard error; elsewhere one line at most every ten seconds, so that work that is
    done sooner shows none. ``label`` names the work, ``unit`` what is counted. ``print_line`` gets the lines.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        unit: str = "frame",
        *,
        print_line: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._label = label
        self._unit = unit
        self._clock = clock
        self._print_line = print_line or _print_to_stderr
        self._bar: Any = None
        if print_line is None and sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=label, unit=unit, dynamic_ncols=True)
        self.count = 0
        """How much is done so far."""
        self._started = self._told = clock()

    def __enter__(self) -> ProgressMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self.count += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = self._clock()
        if now - self._told >= _LINE_INTERVAL_S:
            self._told = now
            self._print_line(self._describe(now - self._started))

    def _describe(self, taken_s: float) -> str:
        rate = self.count / max(taken_s, 1e-9)
        speed = f"{rate:.1f} {self._unit}s/s"
        if not self._total or self.count > self._total:
            return f"{self._label}: {self.count} {self._unit}s, {speed}"
        left = format_duration((self._total - self.count) / max(rate, 1e-9))
        share = 100 * self.count // self._total
        return f"{self._label}: {self.count} of {self._total} {self._unit}s ({share} %), {speed}, {left} left"


def format_duration(seconds: float) -> str:
    """Write a duration as 0:07, 12:30 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def print_above_bar(line: str) -> None:
    """Print ``line`` to standard error without breaking a bar that is shown there."""
    with tqdm.external_write_mode(file=sys.stderr):
        _print_to_stderr(line)


def _print_to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
