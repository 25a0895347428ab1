"""How busy other programs keep the machine while something is measured: figures of a busy machine mislead."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

BUSY_SHARE = 0.2
"""Share of the processor from which other programs' work is worth a word."""

_IDLE_FIELDS = slice(3, 5)  # of the line "cpu" without its first word: idle, and waiting for a disk
_COUNTED_FIELDS = slice(0, 8)  # user to steal; time of guests is counted in user already


class OtherProgramsLoad:
    """The share of the processor that other programs use between entering and leaving the ``with``.

    ``share`` is from 0 to 1; None before the end, and where the system does not tell.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._before: tuple[float, float, float] | None = None
        self.share: float | None = None

    def __enter__(self) -> OtherProgramsLoad:
        self._before = self._read_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before, after = self._before, self._read_seconds()
        if before is None or after is None or after[0] <= before[0]:
            return
        whole, busy, own = (now - then for now, then in zip(after, before, strict=True))
        self.share = min(max((busy - own) / whole, 0.0), 1.0)

    def describe(self) -> str:
        """Say how busy the machine was; nothing where it was not."""
        if self.share is None or self.share < BUSY_SHARE:
            return ""
        return (
            f"the machine was busy: other programs used {self.share:.0%} of its processor meanwhile; "
            "figures of an idle one are better"
        )

    def _read_seconds(self) -> tuple[float, float, float] | None:
        """Seconds of all cores together, busy ones, and those that this process and its children used."""
        try:
            line = self._stat.read_text(encoding="ascii").splitlines()[0]
            ticks = [int(field) for field in line.split()[1:]][_COUNTED_FIELDS]
        except (OSError, ValueError, IndexError):
            return None
        per_second = os.sysconf("SC_CLK_TCK")
        whole = sum(ticks) / per_second
        own = sum(os.times()[:4])
        return whole, whole - sum(ticks[_IDLE_FIELDS]) / per_second, own
