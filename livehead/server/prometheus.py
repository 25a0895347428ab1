"""The figures of a server for Prometheus, over all its sessions. Nothing that counts falls while the server lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from livehead.server.session import Session
from livehead.server.session_stats import MAX_TIMINGS
from livehead.stats import StatsCollector, peak_memory_mb

_STAGES = {"estimate": "driver", "draw": "render", "encode": "encode", "capture_to_wire": "total"}
_BUCKETS_MS = (5, 10, 20, 33, 50, 75, 100, 150, 250, 500)


class ServerMetrics:
    """Gathers the figures of a server's sessions: those that run are read when asked for, those that ended are added.

    ``livehead_frames_sent``, ``livehead_camera_frames`` and ``livehead_frames_dropped`` only grow, but are declared as
    gauges: the library would append ``_total`` to the name of a counter, and dashboards know them by these names.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._ended = _FrameTotals()
        self._sessions = self._gauge("livehead_sessions", "Sessions that run.")
        self._opened = Counter("livehead_sessions_opened", "Sessions since the start.", registry=self._registry)
        self._viewers = self._gauge("livehead_viewers", "Connections that only watch.")
        self._frames_sent = self._gauge("livehead_frames_sent", "Pictures sent since the start.")
        self._bitrate = self._gauge("livehead_bits_per_second", "What the encoders that run aim at.")
        self._camera_frames = self._gauge("livehead_camera_frames", "Pictures received from cameras since the start.")
        self._dropped = self._gauge("livehead_frames_dropped", "Pictures that a newer one replaced since the start.")
        self._threads = self._gauge("livehead_threads", "Threads of this process.")
        self._tasks = self._gauge("livehead_tasks", "Tasks of the event loop.")
        self._peak_bytes = self._gauge("livehead_peak_bytes", "Largest memory of this process.")
        self._stage_times = Histogram(
            "livehead_stage_milliseconds",
            "Time of each frame in each stage.",
            ["stage"],
            buckets=_BUCKETS_MS,
            registry=self._registry,
        )
        for stage in _STAGES.values():
            self._stage_times.labels(stage)  # a stage that has not run yet is there with 0 frames

    def open_session_stats(self) -> StatsCollector:
        """Count a session, and give the collector whose timings go into the histogram too."""
        self._opened.inc()
        return _ObservedStats(self._stage_times)

    def add_ended_session(self, session: Session) -> None:
        """Keep the totals of a session that is over; called when it is no longer among those that run."""
        self._ended += _FrameTotals.of_session(session)

    def render(self, running: Sequence[Session]) -> bytes:
        """The text that Prometheus reads, format version 0.0.4; called on the event loop with the sessions that run."""
        totals = self._ended
        for session in running:
            totals += _FrameTotals.of_session(session)
        self._sessions.set(len(running))
        self._viewers.set(sum(session.connections.viewer_count for session in running))
        self._frames_sent.set(totals.sent)
        self._bitrate.set(sum(session.broadcast.total_bitrate for session in running))
        self._camera_frames.set(totals.received)
        self._dropped.set(totals.dropped)
        self._threads.set(threading.active_count())
        self._tasks.set(len(asyncio.all_tasks()))
        self._peak_bytes.set(round(peak_memory_mb() * 1e6))
        return generate_latest(self._registry)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, registry=self._registry)


class _ObservedStats(StatsCollector):
    """A session's statistics whose timings are added to the server's histogram as well."""

    def __init__(self, stage_times: Histogram) -> None:
        super().__init__(max_timings=MAX_TIMINGS)
        self._observers = {stage: stage_times.labels(label) for stage, label in _STAGES.items()}

    def record_timing(self, stage: str, milliseconds: float) -> None:
        super().record_timing(stage, milliseconds)
        if stage in self._observers:
            self._observers[stage].observe(milliseconds)


@dataclass(frozen=True, slots=True)
class _FrameTotals:
    """How many pictures were sent, came from cameras, and were replaced by a newer one before they were read."""

    sent: int = 0
    received: int = 0
    dropped: int = 0

    @classmethod
    def of_session(cls, session: Session) -> _FrameTotals:
        sent = session.stats.read_counters().get("encoded", 0)
        return cls(sent, session.camera.received, session.camera.dropped)

    def __add__(self, other: _FrameTotals) -> _FrameTotals:
        return _FrameTotals(self.sent + other.sent, self.received + other.received, self.dropped + other.dropped)
