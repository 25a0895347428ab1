"""The sinks behind a pipeline, each with a slot for the newest picture and a queue for sound of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from livehead.clock import now_ns
from livehead.concurrency import Fifo, Latest
from livehead.errors import LostRecordingError, SinkError
from livehead.frames import AudioFrame, Frame, VideoFrame
from livehead.interfaces import EndOfStream, Sink
from livehead.stats import StatsCollector

log = logging.getLogger(__name__)

AUDIO_QUEUE_LENGTH = 100  # audio frames that may wait for one sink: one to two seconds
MAX_CONSECUTIVE_FAILURES = 30  # bad frames in a row until a sink that does not raise SinkError is given up


class SinkRunner:
    """Delivers to one sink, so that a slow or failing sink can only lose its own frames.

    ``on_sent`` is called when a picture has reached the sink.
    """

    def __init__(self, sink: Sink, stats: StatsCollector, on_sent: Callable[[], None]) -> None:
        self.sink = sink
        self.name = type(sink).__name__
        self.video: Latest[VideoFrame] = Latest()
        self.audio: Fifo[AudioFrame] = Fifo(AUDIO_QUEUE_LENGTH)
        self.error: Exception | None = None
        """The error for which the sink was given up."""
        self._stats = stats
        self._on_sent = on_sent

    def close(self, error: Exception | None = None) -> None:
        """Take no more frames; those under way are still delivered."""
        self.error = self.error or error
        self.video.close()
        self.audio.close()

    async def deliver_frames(self, queue: Latest[VideoFrame] | Fifo[AudioFrame]) -> None:
        """Send the frames that come in ``queue`` until it is closed; a bad frame is counted and skipped."""
        failures = 0
        while True:
            try:
                frame: Frame = await queue.get()
            except EndOfStream:
                break
            start = now_ns()
            try:
                await self.sink.send(frame)
            except Exception as error:  # noqa: BLE001  boundary: a sink's fault is that sink's alone
                count_bad_frame(self._stats, self.name, error)
                failures += 1
                if isinstance(error, SinkError) or failures >= MAX_CONSECUTIVE_FAILURES:
                    if self.error is None:  # frames under way fail with the same words
                        log.error("an output is given up: %s", error)
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


class SinkGroup:
    """All sinks of one run: every picture and every block of sound goes to each of them.

    ``sound_out`` is a sink that gets sound and no pictures; when it fails, the run goes on without it.
    """

    def __init__(self, sinks: Sequence[Sink], sound_out: Sink | None, stats: StatsCollector) -> None:
        self.first_frame_sent = asyncio.Event()
        """Set when the first picture has reached a sink."""
        self._runners = [SinkRunner(sink, stats, self.first_frame_sent.set) for sink in sinks]
        self._sound_runner = SinkRunner(sound_out, stats, self.first_frame_sent.set) if sound_out else None
        self._opening: asyncio.Timeout | None = None

    async def open(self, stack: AsyncExitStack) -> bool:
        """Open every sink; ``stack`` closes them. Raises: SinkError.

        Returns False where ``stop_opening`` was called meanwhile, since a server may take long to answer.
        """
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._opening = scope
                for runner in self._all_runners():
                    await stack.enter_async_context(runner.sink)
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._opening = None
        return not scope.expired()

    def stop_opening(self) -> None:
        """Have ``open`` end at once, if it is under way; callable from the event loop."""
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())

    def start(self, group: asyncio.TaskGroup, on_all_failed: Callable[[], None]) -> None:
        """Deliver in tasks of ``group``; ``on_all_failed`` is called when no sink for pictures is left."""
        for runner in self._runners:
            group.create_task(self._run_sink(runner, runner.video, on_all_failed))
        for runner in self._all_runners():
            group.create_task(self._run_sink(runner, runner.audio, on_all_failed))

    def put_video(self, frame: VideoFrame) -> None:
        """Give a picture to every sink; a sink that has not taken the one before loses it."""
        for runner in self._runners:
            runner.video.put(frame)

    def put_audio(self, frame: AudioFrame) -> None:
        """Give a block of sound to every sink, in order."""
        for runner in self._all_runners():
            runner.audio.put(frame)

    def close(self) -> None:
        """Take no more frames; those under way are still delivered."""
        for runner in self._all_runners():
            runner.close()

    def raise_failures(self) -> None:
        """Raise the last sink's error where every sink for pictures was given up, and that of a lost recording."""
        failed = [runner.error for runner in self._runners if runner.error]
        for error in failed:
            if isinstance(error, LostRecordingError):  # the others may have gone on, but a file is incomplete
                raise error
        if failed and len(failed) == len(self._runners):
            raise failed[-1]

    async def _run_sink(
        self, runner: SinkRunner, queue: Latest[VideoFrame] | Fifo[AudioFrame], on_all_failed: Callable[[], None]
    ) -> None:
        await runner.deliver_frames(queue)
        if self._runners and all(other.error for other in self._runners):
            on_all_failed()

    def _all_runners(self) -> list[SinkRunner]:
        return self._runners if self._sound_runner is None else [*self._runners, self._sound_runner]


def count_bad_frame(stats: StatsCollector, stage: str, error: BaseException) -> None:
    """Count a frame that ``stage`` could not take, and log the first of them."""
    if stats.count(f"{stage}.bad") == 1:
        log.warning("%s: a frame is skipped: %s: %s", stage, type(error).__name__, error)
