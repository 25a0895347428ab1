"""One sink behind the pipeline, with its own slot for pictures and its own line for sound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from livehead.clock import now_ns
from livehead.concurrency import Fifo, Latest
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame, VideoFrame
from livehead.interfaces import EndOfStream, Sink
from livehead.stats import StatsCollector

log = logging.getLogger(__name__)

AUDIO_QUEUE_LENGTH = 100  # audio frames that may wait for one sink: one to two seconds
MAX_CONSECUTIVE_FAILURES = 30  # consecutive bad frames until a sink that does not raise SinkError is given up


class SinkRunner:
    """Delivers to one sink, so that a slow or failing sink can only lose its own frames.

    ``on_sent``: called when a picture has reached the sink.
    """

    def __init__(self, sink: Sink, stats: StatsCollector, on_sent: Callable[[], None]) -> None:
        self.sink = sink
        self.name = type(sink).__name__
        self.video: Latest[VideoFrame] = Latest()
        self.audio: Fifo[AudioFrame] = Fifo(AUDIO_QUEUE_LENGTH)
        self.error: Exception | None = None
        """Why the sink was given up."""
        self._stats = stats
        self._on_sent = on_sent

    def close(self, error: Exception | None = None) -> None:
        """No more frames; those under way are still delivered."""
        self.error = self.error or error
        self.video.close()
        self.audio.close()

    async def deliver_frames(self, queue: Latest[VideoFrame] | Fifo[AudioFrame]) -> None:
        """Send what comes in ``line`` until it is closed; a bad frame is counted and skipped."""
        failures = 0
        while True:
            try:
                frame: Frame = await queue.get()
            except EndOfStream:
                break
            start = now_ns()
            (error,) = await asyncio.gather(self.sink.send(frame), return_exceptions=True)
            if isinstance(error, Exception):
                count_bad_frame(self._stats, self.name, error)
                failures += 1
                if isinstance(error, SinkError) or failures >= MAX_CONSECUTIVE_FAILURES:
                    log.error("%s is closed: %s", self.name, error)
                    self.close(error)
                continue
            failures = 0
            if isinstance(frame, VideoFrame):
                self._record_delivery(frame, start)
        self._stats.count(f"{self.name}.dropped", queue.dropped)

    def _record_delivery(self, frame: VideoFrame, start_ns: int) -> None:
        self._stats.count("sent")
        self._stats.record_timing("send", (now_ns() - start_ns) / 1e6)
        self._stats.record_timing("capture_to_sink", (now_ns() - frame.captured_ns) / 1e6)
        self._on_sent()


def count_bad_frame(stats: StatsCollector, stage: str, error: BaseException) -> None:
    """Count a frame that ``stage`` could not take, and tell of the first."""
    if stats.count(f"{stage}.bad") == 1:
        log.warning("%s: a frame is skipped: %s: %s", stage, type(error).__name__, error)
