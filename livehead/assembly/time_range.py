"""The part of a recording that is used, as a person gives it by ``--start`` and ``--end``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from livehead.clock import NS
from livehead.errors import ConfigError
from livehead.frames import Samples

_MAX_PARTS = 3  # hours, minutes, seconds


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The part from ``start_s`` up to ``end_s`` seconds, to the end of the recording if None."""

    start_s: float = 0.0
    end_s: float | None = None

    @property
    def length_s(self) -> float | None:
        """The length of the part in seconds; None where the recording's own end is its end."""
        return None if self.end_s is None else self.end_s - self.start_s

    @property
    def start_ns(self) -> int:
        """``start_s`` in nanoseconds."""
        return round(self.start_s * NS)

    @property
    def end_ns(self) -> int | None:
        """``end_s`` in nanoseconds."""
        return None if self.end_s is None else round(self.end_s * NS)

    def select_frames(self, fps: float) -> slice:
        """The part of a sequence of pictures at ``fps`` that lies in the range."""
        return slice(math.ceil(self.start_s * fps), None if self.end_s is None else math.ceil(self.end_s * fps))

    def clip_s(self, length_s: float) -> float:
        """Seconds of a recording of ``length_s`` that lie in the range; not above 0 where it ends before."""
        return (length_s if self.end_s is None else min(length_s, self.end_s)) - self.start_s


def parse_moment(text: str) -> float:
    """Read a moment, as 12.5, 1:30 or 1:02:03.5, in seconds. Raises: ConfigError."""
    parts = text.strip().split(":")
    whole, last = parts[:-1], parts[-1]
    valid = len(parts) <= _MAX_PARTS and all(re.fullmatch(r"\d{1,6}", part, re.ASCII) for part in whole)
    if not valid or not re.fullmatch(r"\d{1,9}(\.\d*)?|\.\d+", last, re.ASCII) or (whole and float(last) >= 60):
        raise ConfigError(f"{text!r} is no moment", "write seconds, or minutes:seconds, as 12.5 or 1:30", subject=text)
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + float(part)
    return seconds


def parse_range(start: str | None, end: str | None) -> TimeRange:
    """Read the words of ``--start`` and ``--end``. Raises: ConfigError unless the end is after the start."""
    first, last = 0.0 if start is None else parse_moment(start), None if end is None else parse_moment(end)
    if last is not None and last <= first:
        raise ConfigError(f"--end {end} is not after --start {start or 0}", "give a later --end")
    return TimeRange(first, last)


def clip_blocks(blocks: Iterable[Samples], rate: int, time_range: TimeRange) -> Iterator[Samples]:
    """Cut ``blocks`` of sound (float32 [C, N] at ``rate`` Hz, from 0 on) to the range."""
    position, first = 0, round(time_range.start_s * rate)
    end = None if time_range.end_s is None else round(time_range.end_s * rate)
    for samples in blocks:
        kept = samples[:, max(first - position, 0) : None if end is None else max(end - position, 0)]
        position += samples.shape[1]
        if kept.shape[1]:
            yield kept
        if end is not None and position >= end:
            return
