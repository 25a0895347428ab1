"""The live pipeline: the only TaskGroup for media.

    capture -> newest frame -> estimate (thread) -> newest motion -> draw (thread) -> each sink's newest frame -> sink

Estimating and drawing overlap on two threads. The newest frame wins everywhere, what is dropped is counted, and no
frame travels upstream. A bad frame is counted and skipped; a sink that fails is closed alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from livehead.clock import NS, Pacer, Timeline, now_ns
from livehead.concurrency import Fifo, Latest, Worker
from livehead.errors import LiveheadError, SinkError
from livehead.frames import AudioFrame, Frame, Image, VideoFrame
from livehead.governor import Governor, Quality
from livehead.interfaces import Capture, EndOfStream, Inputs, Motion, Sink
from livehead.stats import Stats

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)
EARLY = 0.6  # periods that a frame may come before its time
SOUND_LINE = 100  # audio frames that may wait for one sink: one to two seconds
SINK_PATIENCE = 30  # consecutive bad frames until a sink that does not raise SinkError is given up


MotionT = TypeVar("MotionT", bound=Motion)


class Performer(Protocol[MotionT]):
    """What turns inputs into pictures: an ``Animator``. Each verb is called from one thread of its own."""

    def estimate(self, inputs: Inputs) -> MotionT: ...

    def draw(self, motion: MotionT) -> Image: ...

    def set_quality(self, quality: Quality) -> None: ...


@dataclass(frozen=True, slots=True)
class _Estimated:
    motion: Motion
    frame: VideoFrame | None
    captured_ns: int
    estimate_ms: float
    ready_ns: int


class _Outlet:
    """One sink with its own slot and line, so that it can only lose its own frames."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.name = type(sink).__name__
        self.video: Latest[VideoFrame] = Latest()
        self.sound: Fifo[AudioFrame] = Fifo(SOUND_LINE)
        self.error: Exception | None = None

    def close(self, error: Exception | None = None) -> None:
        self.error = self.error or error
        self.video.close()
        self.sound.close()


class Pipeline:
    """Runs one capture (or the frame clock alone), one performer and any number of sinks.

    ``capture`` None means that the driver needs no camera: it is asked ``fps`` times a second.
    """

    def __init__(
        self,
        capture: Capture | None,
        performer: Performer[Any],
        sinks: Sequence[Sink],
        *,
        fps: float = 30.0,
        microphone: Capture | None = None,
        governor: Governor | None = None,
        stats: Stats | None = None,
    ) -> None:
        self.stats = stats or Stats()
        self.first_sent = asyncio.Event()
        """Set when the first picture has reached a sink."""
        self._capture = capture
        self._microphone = microphone
        self._performer = performer
        self._outlets = [_Outlet(sink) for sink in sinks]
        self._governor = governor
        self._fps = fps
        self._frames: Latest[Inputs] = Latest()
        self._motions: Latest[_Estimated] = Latest()
        self._sources: list[asyncio.Task[None]] = []
        self._stopping = False
        self._cpu = (time.process_time(), time.monotonic())

    async def run(self) -> None:
        """Until the capture ends, ``stop`` is called or no sink is left.

        Raises: CaptureError; SinkError when a sink cannot be opened, or when the last one failed.
        """
        async with AsyncExitStack() as stack:
            for outlet in self._outlets:
                await stack.enter_async_context(outlet.sink)
            sources: list[tuple[Callable[..., Awaitable[None]], tuple[Capture, ...]]] = []
            if self._capture is None:
                sources.append((self._tick, ()))
            else:
                sources.append((self._watch, (await stack.enter_async_context(self._capture),)))
            if self._microphone is not None:
                sources.append((self._listen, (await stack.enter_async_context(self._microphone),)))
            estimating = await stack.enter_async_context(Worker("estimate"))
            drawing = await stack.enter_async_context(Worker("draw"))
            try:
                async with asyncio.TaskGroup() as group:
                    for outlet in self._outlets:
                        group.create_task(self._deliver(outlet, outlet.video))
                        group.create_task(self._deliver(outlet, outlet.sound))
                    group.create_task(self._draw(drawing))
                    group.create_task(self._estimate(estimating))
                    self._sources = [group.create_task(self._source(fn, *args)) for fn, args in sources]
                    if self._stopping:
                        self.stop()
            except ExceptionGroup as failures:
                raise _first(failures) from failures
        failed = [outlet.error for outlet in self._outlets if outlet.error]
        if failed and len(failed) == len(self._outlets):
            raise failed[-1]

    def stop(self) -> None:
        """End as if the capture had ended: frames under way are delivered, then everything is closed."""
        self._stopping = True
        for task in self._sources:
            task.cancel()

    async def _source(self, fn: Callable[..., Awaitable[None]], *args: Capture) -> None:
        """Run one source of frames; when the picture ends, everything downstream ends, the sound too."""
        try:
            await fn(*args)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            if fn != self._listen:
                self._frames.close()

    async def _watch(self, capture: Capture) -> None:
        due_ns = 0
        while True:
            try:
                frame = await capture.recv()
            except EndOfStream:
                return
            if not isinstance(frame, VideoFrame):
                continue
            fps = self._governor.quality.fps if self._governor else self._fps
            period_ns = round(NS / fps)
            if frame.captured_ns < due_ns - EARLY * period_ns:
                self.stats.count("capture.over_rate")
                continue
            # the mean rate is held, not each distance: frames of a network come early and late in turn
            due_ns = max(due_ns, frame.captured_ns - period_ns) + period_ns
            self._frames.put(Inputs(frame=frame, audio=None, now_ns=frame.captured_ns))

    async def _tick(self) -> None:
        pacer = Pacer(self._fps)
        while True:
            self._frames.put(Inputs(frame=None, audio=None, now_ns=await pacer.tick()))

    async def _listen(self, microphone: Capture) -> None:
        while True:
            try:
                frame = await microphone.recv()
            except EndOfStream:
                return
            if isinstance(frame, AudioFrame):
                for outlet in self._outlets:
                    outlet.sound.put(frame)

    async def _estimate(self, worker: Worker) -> None:
        try:
            while True:
                try:
                    inputs = await self._frames.get()
                except EndOfStream:
                    return
                start = now_ns()
                self.stats.record("wait_estimate", (start - inputs.now_ns) / 1e6)
                call = await worker.attempt(self._performer.estimate, inputs)
                end = now_ns()
                error = call.exception()
                if error is not None:
                    self._skip("estimate", error)
                    continue
                self.stats.record("estimate", (end - start) / 1e6)
                estimated = _Estimated(call.result(), inputs.frame, inputs.now_ns, (end - start) / 1e6, end)
                self._motions.put(estimated)
        finally:
            self._count_drops("estimate", self._frames)
            self._motions.close()

    async def _draw(self, worker: Worker) -> None:
        timeline = Timeline(TIME_BASE)
        try:
            while True:
                try:
                    item = await self._motions.get()
                except EndOfStream:
                    return
                start = now_ns()
                self.stats.record("wait_draw", (start - item.ready_ns) / 1e6)
                call = await worker.attempt(self._performer.draw, item.motion)
                draw_ms = (now_ns() - start) / 1e6
                error = call.exception()
                if error is not None:
                    self._skip("draw", error)
                    continue
                self.stats.record("draw", draw_ms)
                attached = item.frame.attached if item.frame else {}
                pts = timeline.pts(item.captured_ns)
                frame = VideoFrame(call.result(), pts, TIME_BASE, item.captured_ns, attached)
                for outlet in self._outlets:
                    outlet.video.put(frame)
                self._govern(max(item.estimate_ms, draw_ms))
        finally:
            self._count_drops("draw", self._motions)
            for outlet in self._outlets:
                outlet.close()

    async def _deliver(self, outlet: _Outlet, line: Latest[VideoFrame] | Fifo[AudioFrame]) -> None:
        failures = 0
        while True:
            try:
                frame: Frame = await line.get()
            except EndOfStream:
                break
            start = now_ns()
            (error,) = await asyncio.gather(outlet.sink.send(frame), return_exceptions=True)
            if isinstance(error, Exception):
                self._skip(outlet.name, error)
                failures += 1
                if isinstance(error, SinkError) or failures >= SINK_PATIENCE:
                    log.error("%s is closed: %s", outlet.name, error)
                    self._give_up(outlet, error)
                continue
            failures = 0
            if isinstance(frame, VideoFrame):
                self.stats.count("sent")
                self.first_sent.set()
                self.stats.record("send", (now_ns() - start) / 1e6)
                self.stats.record("capture_to_sink", (now_ns() - frame.captured_ns) / 1e6)
        self._count_drops(outlet.name, line)

    def _give_up(self, outlet: _Outlet, error: Exception) -> None:
        outlet.close(error)
        if all(other.error for other in self._outlets):
            self.stop()

    def _govern(self, busy_ms: float) -> None:
        if self._governor is None:
            return
        cpu, wall = time.process_time(), time.monotonic()
        elapsed = max(wall - self._cpu[1], 1e-3)
        share = (cpu - self._cpu[0]) / elapsed / (os.cpu_count() or 1)
        if elapsed > 1:
            self._cpu = (cpu, wall)
        quality = self._governor.observe(busy_ms, share if elapsed > 0.5 else 0.0, now_ns())
        if quality is not None:
            self.stats.count("quality.changes")
            self._performer.set_quality(quality)

    def _skip(self, stage: str, error: BaseException) -> None:
        if self.stats.count(f"{stage}.bad") == 1:
            log.warning("%s: a frame is skipped: %s: %s", stage, type(error).__name__, error)

    def _count_drops(
        self, stage: str, line: Latest[Inputs] | Latest[_Estimated] | Latest[VideoFrame] | Fifo[AudioFrame]
    ) -> None:
        self.stats.count(f"{stage}.dropped", line.dropped)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """The one failure that a person is told: a LiveheadError if there is any."""
    told = failures.subgroup(LiveheadError) or failures
    error: Exception = told
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
