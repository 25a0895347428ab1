"""What a process uses of the machine, as Linux tells it: processor time, memory, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from livehead.errors import DeviceError


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Seconds of processor time used so far, resident memory in MB (10^6 bytes), and the number of threads."""

    cpu_s: float
    resident_mb: float
    threads: int


def read_process_usage(pid: int | None = None) -> ProcessUsage:
    """The usage of process ``pid``, or of this one. Raises: DeviceError where the system has no ``/proc``."""
    folder = Path("/proc", str(pid or os.getpid()))
    try:
        fields = (folder / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        lines = (folder / "status").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DeviceError("this system does not tell what a process uses", "measure on Linux") from error
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return ProcessUsage(
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        resident_mb=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        threads=int(status["Threads"]),
    )
