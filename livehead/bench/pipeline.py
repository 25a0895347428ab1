"""``livehead bench pipeline``: the whole way from a camera's exposure to a virtual camera's native pixels."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from livehead.assembly.progress import ProgressMeter
from livehead.bench.harness.virtual_camera_probe import VirtualCameraProbe
from livehead.bench.latency import (
    DetectedJumps,
    JumpSchedule,
    detect_jumps,
    exposure_waits_ms,
    latency_shares,
    plan_jumps,
)
from livehead.bench.process_usage import read_process_usage
from livehead.clock import NS
from livehead.errors import DeviceError
from livehead.reporting.report import Json
from livehead.stats import StatsCollector, peak_memory_mb, summarize_ms

_LATENCY_STAGE = "capture_to_sink"
_FRAME_STAGES = ("wait_estimate", "estimate", "wait_draw", "draw", "send")
"""The pipeline's stages in the order in which a frame passes them."""


@dataclass(frozen=True, slots=True, eq=False)
class PipelineRun:
    """Holds what a run of the pipeline left behind.

    ``camera_start_ns`` is moment 0 of the scene on the monotonic clock, ``missed_exposures`` the number of camera
    pictures that the pipeline came too late for, ``stats`` the pipeline's own figures.
    """

    camera_start_ns: int
    missed_exposures: int
    stats: StatsCollector


RunPipeline: TypeAlias = Callable[[JumpSchedule, VirtualCameraProbe], Awaitable[PipelineRun]]
"""Runs a pipeline until its scene is over: from a synthetic camera that shows the jumps into a virtual camera whose
backend is the probe (or into a ``VirtualCameraProbeSink``)."""


@dataclass(frozen=True, slots=True, eq=False)
class PipelineFigures:
    """``results`` with the keys of ``bench pipeline``'s JSON, and each jump's latency in ms for the histogram."""

    results: dict[str, Json]
    latency_ms: list[float]


async def bench_pipeline(
    run_pipeline: RunPipeline,
    *,
    shots: int,
    fps: float = 30.0,
    jumps: int = 120,
    start_s: float | None = None,
    seed: int = 0,
) -> PipelineFigures:
    """Play ``jumps`` sudden motions (about 0.75 s each) and measure everything on the way.

    ``shots`` is the number of prepared camera pictures of each of the two poses. ``start_s``, the seconds that
    ``livehead run`` needs until its first avatar frame, is measured by the caller and taken over into the results.

    Raises: DeviceError when the jumps do not arrive; what ``run_pipeline`` raises.
    """
    plan = plan_jumps(jumps, fps, shots, seed)
    probe = VirtualCameraProbe()
    cpu = time.process_time()
    played, memory = await _sample_memory_during(run_pipeline(plan, probe), round(plan.end_ns / NS))
    cpu, peak = time.process_time() - cpu, peak_memory_mb()  # before the analysis, which needs both itself
    received = probe.received_frames
    if len(received.received_ns) < 2:
        raise DeviceError("no picture came out of the pipeline", "run with --debug to see why")
    seen = detect_jumps(received, plan, played.camera_start_ns)
    seconds = float(received.received_ns[-1] - received.received_ns[0]) / NS
    results: dict[str, Json] = {
        "motion_to_photon": summarize_ms(seen.latency_ms),
        "missed": seen.missed,
        "shares": _median_shares(seen, plan, played.stats),
        "stages": played.stats.summarize_stages(),
        "fps": round((len(received.received_ns) - 1) / seconds, 3),
        "late_share": round(late_share(played.stats, fps), 5),
        "dropped": played.missed_exposures
        + sum(n for name, n in played.stats.read_counters().items() if name.endswith(".dropped")),
        "cpu_s_per_frame": round(cpu / len(received.received_ns), 5),
        "peak_mb": round(peak, 1),
        "resident_mb": memory,
        "start_s": start_s,
    }
    return PipelineFigures(results, seen.latency_ms)


def late_share(stats: StatsCollector, fps: float) -> float:
    """The share of frames that were sent more than one frame period after their slot.

    The slots follow the camera's exposures by the pipeline's median delay, as a viewer's clock would settle.
    """
    delays = np.array(stats.recent_timings(_LATENCY_STAGE, sys.maxsize))
    return float((delays > np.median(delays) + 1000 / fps).mean()) if len(delays) else 0.0


async def _sample_memory_during(
    run: Awaitable[PipelineRun], seconds: int
) -> tuple[PipelineRun, dict[str, float] | None]:
    """Await ``run``; beside its result, the median memory in its first and in its last third, to see that it is flat.

    It takes about ``seconds``, of which progress is shown. Memory is in MB (10^6 bytes), read once a second; None where
    the system has no /proc or the run is too short.
    """
    samples: list[float] = []

    async def sample_memory() -> None:
        with contextlib.suppress(DeviceError), ProgressMeter(seconds, "measuring the live pipeline", "second") as meter:
            while True:
                samples.append(read_process_usage().resident_mb)
                await asyncio.sleep(1)
                meter.advance()

    sampling = asyncio.create_task(sample_memory())
    try:
        played = await run
    finally:
        sampling.cancel()
        await asyncio.wait([sampling])
    third = len(samples) // 3
    if not third:
        return played, None
    first, last = float(np.median(samples[:third])), float(np.median(samples[-third:]))
    return played, {"first_third": round(first, 1), "last_third": round(last, 1)}


def _median_shares(seen: DetectedJumps, plan: JumpSchedule, stats: StatsCollector) -> dict[str, float]:
    """The share of the median latency that each step takes, from the medians of the steps."""
    medians = {name: figures["median"] for name, figures in stats.summarize_stages().items()}
    stages = {name: medians[name] for name in _FRAME_STAGES if name in medians}
    whole = float(np.median(seen.latency_ms))
    parts = latency_shares(
        whole, float(np.median(exposure_waits_ms(plan))), medians.get(_LATENCY_STAGE, sum(stages.values())), stages
    )
    return {name: round(share, 4) for name, share in parts.items()}
