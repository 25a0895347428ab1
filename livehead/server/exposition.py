"""Figures of all sessions in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import asyncio
import threading

from livehead.server.sessions import Sessions
from livehead.stats import peak_mb

_STAGES = {"estimate": "driver", "draw": "render", "encode": "encode", "capture_to_wire": "total"}
_BOUNDS_MS = (5, 10, 20, 33, 50, 75, 100, 150, 250, 500)
_RECENT = 1024


def exposition(sessions: Sessions) -> str:
    """The page that Prometheus reads."""
    running = list(sessions)
    lines: list[str] = []
    gauge = "gauge"
    _one(lines, "livehead_sessions", gauge, "Sessions that run.", len(running))
    _one(lines, "livehead_sessions_opened_total", "counter", "Sessions since the start.", sessions.opened)
    _one(
        lines,
        "livehead_viewers",
        gauge,
        "Connections that only watch.",
        sum(each.connections.viewers for each in running),
    )
    frames = sum(each.stats.counts().get("encoded", 0) for each in running)
    _one(lines, "livehead_frames_sent", gauge, "Pictures sent by the sessions that run.", frames)
    bits = sum(each.broadcast.bitrate for each in running)
    _one(lines, "livehead_bits_per_second", gauge, "What the encoders that run aim at.", bits)
    _one(
        lines,
        "livehead_camera_frames",
        gauge,
        "Pictures received from cameras.",
        sum(each.camera.received for each in running),
    )
    dropped = sum(each.camera.dropped for each in running)
    _one(lines, "livehead_frames_dropped", gauge, "Pictures that a newer one replaced.", dropped)
    _one(lines, "livehead_threads", gauge, "Threads of this process.", threading.active_count())
    _one(lines, "livehead_tasks", gauge, "Tasks of the event loop.", len(asyncio.all_tasks()))
    _one(lines, "livehead_peak_bytes", gauge, "Largest memory of this process.", round(peak_mb() * 1e6))
    name = "livehead_stage_milliseconds"
    lines += [f"# HELP {name} Time of the newest frames in each stage.", f"# TYPE {name} histogram"]
    for key, stage in _STAGES.items():
        times = [ms for each in running for ms in each.stats.recent(key, _RECENT)]
        for bound in _BOUNDS_MS:
            lines.append(f'{name}_bucket{{stage="{stage}",le="{bound}"}} {sum(ms <= bound for ms in times)}')
        lines.append(f'{name}_bucket{{stage="{stage}",le="+Inf"}} {len(times)}')
        lines.append(f'{name}_sum{{stage="{stage}"}} {sum(times):.3f}')
        lines.append(f'{name}_count{{stage="{stage}"}} {len(times)}')
    return "\n".join(lines) + "\n"


def _one(lines: list[str], name: str, kind: str, text: str, value: float) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
