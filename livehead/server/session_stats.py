"""What a session measures of itself: the figures that its page shows, and the delays that keep sound with pictures."""

from __future__ import annotations

import statistics
from collections import deque

from livehead.clock import NS, now_ns
from livehead.performer_watch import PerformerWatch
from livehead.protocol.messages import SessionStats
from livehead.quality import QualityController
from livehead.stats import StatsCollector
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.remote_tracks import RemoteVideoCapture

MAX_TIMINGS = 1024
"""How many of the newest timings of each stage a session keeps."""

_MEDIAN_WINDOW = 30  # frames that a figure is the median of
_DEFAULT_PLAYOUT_DELAY_MS = 40.0  # until the page has reported one ...
_PLAYOUT_WINDOW = 5  # ... then the median of so many reports
_MIN_AUDIO_DELAY_MS = 15.0  # packets that come later than they should still have to go out in time


class PlayoutTiming:
    """How long after its capture a picture leaves, and by how much sooner its sound has to leave.

    Browsers keep sound back for longer than pictures before they play it; the performer's page reports by how much, and
    the viewers' browsers are taken to be alike.
    """

    def __init__(self, stats: StatsCollector) -> None:
        self._stats = stats
        self._playout_delays_ms: deque[float] = deque([_DEFAULT_PLAYOUT_DELAY_MS], maxlen=_PLAYOUT_WINDOW)

    def report_playout_delay(self, sound_later_ms: float) -> None:
        """Take in how many ms longer than pictures the performer's browser just kept sound back."""
        self._playout_delays_ms.append(sound_later_ms)

    def video_latency_ms(self) -> float:
        """The median time in ms from a picture's capture to its packets."""
        return recent_median_ms(self._stats, "capture_to_wire")

    def audio_lead_ms(self) -> float:
        """Return by how many ms sound has to leave sooner than its picture."""
        return min(statistics.median(self._playout_delays_ms), self.video_latency_ms() - _MIN_AUDIO_DELAY_MS)


class SessionStatsSampler:
    """Makes the figures of a session that its page shows once a second."""

    def __init__(
        self,
        stats: StatsCollector,
        camera: RemoteVideoCapture,
        broadcast: BroadcastSink,
        quality_controller: QualityController,
        performer_watch: PerformerWatch,
    ) -> None:
        self._stats = stats
        self._performer_watch = performer_watch
        self._camera = camera
        self._broadcast = broadcast
        self._quality_controller = quality_controller
        self._last_counts = (now_ns(), 0, 0)

    def sample(self) -> SessionStats:
        """The figures of the time since the call before."""
        now, encoded, received = now_ns(), self._stats.read_counters().get("encoded", 0), self._camera.received
        since, encoded_before, received_before = self._last_counts
        self._last_counts = (now, encoded, received)
        seconds = max((now - since) / NS, 1e-3)
        return SessionStats(
            fps=round((encoded - encoded_before) / seconds, 1),
            camera_fps=round((received - received_before) / seconds, 1),
            driver_ms=recent_median_ms(self._stats, "estimate"),
            render_ms=recent_median_ms(self._stats, "draw"),
            encode_ms=recent_median_ms(self._stats, "encode"),
            total_ms=recent_median_ms(self._stats, "capture_to_wire"),
            dropped=self._camera.dropped,
            bitrate=self._broadcast.total_bitrate,
            receivers=self._broadcast.receiver_count,
            render_size=self._quality_controller.quality.size,
            face_count=self._performer_watch.face_count,
            advice=self._performer_watch.advice() or self._performer_watch.describe_others(),
        )


def recent_median_ms(stats: StatsCollector, stage: str) -> float:
    """The median time in ms of the newest frames in ``stage``; 0 before the first."""
    recent = stats.recent_timings(stage, _MEDIAN_WINDOW)
    return round(statistics.median(recent), 1) if recent else 0.0
