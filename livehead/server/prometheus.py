"""Figures of all sessions in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import asyncio
import threading

from livehead.server.session_manager import SessionManager
from livehead.stats import peak_memory_mb

_STAGES = {"estimate": "driver", "draw": "render", "encode": "encode", "capture_to_wire": "total"}
_BUCKETS_MS = (5, 10, 20, 33, 50, 75, 100, 150, 250, 500)
_SAMPLE_WINDOW = 1024


def format_metrics(sessions: SessionManager) -> str:
    """The page that Prometheus reads."""
    running = list(sessions)
    lines: list[str] = []
    gauge = "gauge"
    _append_metric(lines, "livehead_sessions", gauge, "Sessions that run.", len(running))
    _append_metric(
        lines, "livehead_sessions_opened_total", "counter", "Sessions since the start.", sessions.opened_count
    )
    _append_metric(
        lines,
        "livehead_viewers",
        gauge,
        "Connections that only watch.",
        sum(each.connections.viewer_count for each in running),
    )
    frames = sum(each.stats.read_counters().get("encoded", 0) for each in running)
    _append_metric(lines, "livehead_frames_sent", gauge, "Pictures sent by the sessions that run.", frames)
    bits = sum(each.broadcast.total_bitrate for each in running)
    _append_metric(lines, "livehead_bits_per_second", gauge, "What the encoders that run aim at.", bits)
    _append_metric(
        lines,
        "livehead_camera_frames",
        gauge,
        "Pictures received from cameras.",
        sum(each.camera.received for each in running),
    )
    dropped = sum(each.camera.dropped for each in running)
    _append_metric(lines, "livehead_frames_dropped", gauge, "Pictures that a newer one replaced.", dropped)
    _append_metric(lines, "livehead_threads", gauge, "Threads of this process.", threading.active_count())
    _append_metric(lines, "livehead_tasks", gauge, "Tasks of the event loop.", len(asyncio.all_tasks()))
    _append_metric(
        lines, "livehead_peak_bytes", gauge, "Largest memory of this process.", round(peak_memory_mb() * 1e6)
    )
    name = "livehead_stage_milliseconds"
    lines += [f"# HELP {name} Time of the newest frames in each stage.", f"# TYPE {name} histogram"]
    for key, stage in _STAGES.items():
        times = [ms for each in running for ms in each.stats.recent_timings(key, _SAMPLE_WINDOW)]
        for bound in _BUCKETS_MS:
            lines.append(f'{name}_bucket{{stage="{stage}",le="{bound}"}} {sum(ms <= bound for ms in times)}')
        lines.append(f'{name}_bucket{{stage="{stage}",le="+Inf"}} {len(times)}')
        lines.append(f'{name}_sum{{stage="{stage}"}} {sum(times):.3f}')
        lines.append(f'{name}_count{{stage="{stage}"}} {len(times)}')
    return "\n".join(lines) + "\n"


def _append_metric(lines: list[str], name: str, kind: str, text: str, value: float) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
