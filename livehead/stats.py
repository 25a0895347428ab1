"""Counters, timings of the pipeline's stages, and a fixed benchmark that makes machines comparable."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_IMPORTED_S = time.monotonic()

YARDSTICK = {"channels": 64, "side": 64, "kernel": 3, "rounds": 12}
"""The fixed benchmark: a convolution of 1 x 64 x 64 x 64 with 64 filters of 3 x 3, the best of twelve rounds."""


def summarize_ms(samples_ms: Sequence[float]) -> dict[str, float]:
    """Summarize timings in ms as ``{"median", "p95", "p99", "n"}``, the form of every timing in the JSON."""
    if not len(samples_ms):
        return {"median": float("nan"), "p95": float("nan"), "p99": float("nan"), "n": 0}
    median, p95, p99 = np.percentile(np.asarray(samples_ms, np.float64), [50, 95, 99])
    return {"median": round(median, 3), "p95": round(p95, 3), "p99": round(p99, 3), "n": len(samples_ms)}


class StatsCollector:
    """Counters, and the newest ``max_timings`` timings of each stage; all methods may be called from any thread."""

    def __init__(self, max_timings: int = 4096) -> None:
        self._max_timings = max_timings
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._stage_timings: dict[str, deque[float]] = {}

    def count(self, name: str, amount: int = 1) -> int:
        """Add ``amount`` to a counter and return its new value."""
        with self._lock:
            self._counts[name] += amount
            return self._counts[name]

    def record_timing(self, stage: str, milliseconds: float) -> None:
        """Add one timing of ``stage`` in milliseconds."""
        with self._lock:
            self._stage_timings.setdefault(stage, deque(maxlen=self._max_timings)).append(milliseconds)

    def recent_timings(self, stage: str, n: int) -> list[float]:
        """Return the newest ``n`` timings of ``stage`` in ms, oldest first."""
        with self._lock:
            return list(self._stage_timings.get(stage, ()))[-n:]

    def read_counters(self) -> dict[str, int]:
        """Return a copy of all counters."""
        with self._lock:
            return dict(self._counts)

    def summarize_stages(self) -> dict[str, dict[str, float]]:
        """Return the summary of each stage's timings, in the form of ``summarize_ms``."""
        with self._lock:
            stages = {name: list(samples) for name, samples in self._stage_timings.items()}
        return {name: summarize_ms(samples) for name, samples in stages.items()}


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 1e6)
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, whose getrusage also counts what the parent held when it forked
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)


def process_uptime_s() -> float:
    """Return the seconds since this process was started, or, outside Linux, since this module was imported."""
    try:
        with open("/proc/self/stat", encoding="ascii") as figures:
            ticks = int(figures.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/uptime", encoding="ascii") as uptime:
            return float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.monotonic() - _IMPORTED_S


def time_yardstick() -> dict[str, float]:
    """Time the fixed convolution in two precisions: ``{"conv_fp32", "conv_bf16"}`` in ms, the best round of each."""
    import torch

    channels, side, kernel = YARDSTICK["channels"], YARDSTICK["side"], YARDSTICK["kernel"]
    figures = {}
    for name, dtype in (("conv_fp32", torch.float32), ("conv_bf16", torch.bfloat16)):
        conv = torch.nn.Conv2d(channels, channels, kernel, padding=kernel // 2).to(dtype)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
        x = torch.zeros(1, channels, side, side, dtype=dtype).to(memory_format=torch.channels_last)
        best = float("inf")
        with torch.inference_mode():
            for _ in range(YARDSTICK["rounds"]):
                start = time.perf_counter_ns()
                conv(x)
                best = min(best, (time.perf_counter_ns() - start) / 1e6)
        figures[name] = round(best, 4)
    return figures


def machine_info(precision: str = "fp32") -> dict[str, object]:
    """Describe the machine that figures were measured on: cpu, cores, threads, gpu, torch, precision."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    cpu, cores = cpu_info()
    return {
        "cpu": cpu,
        "cores": cores,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
        "precision": precision,
    }


def cpu_info() -> tuple[str, int]:
    """Return the processor's name and the number of its cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _cpu_name(), cores


def _cpu_name() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
