"""The live pipeline: the only TaskGroup for media.

    capture -> newest frame -> estimate (thread) -> newest motion -> draw (thread) -> each sink's newest frame -> sink
    microphone -> ear (what the driver hears) and each sink's line of sound

Estimating and drawing overlap on two threads. The newest frame wins everywhere, what is dropped is counted, and no
frame travels upstream. A bad frame is counted and skipped; a sink that fails is closed alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from livehead.clock import NS, FramePacer, PtsClock, now_ns
from livehead.concurrency import Fifo, Latest, Worker
from livehead.errors import LiveheadError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Capture, DriverInputs, EndOfStream, Motion, Sink
from livehead.quality import QualityController, QualityLevel
from livehead.sink_runner import SinkRunner, count_bad_frame
from livehead.stats import StatsCollector

TIME_BASE = Fraction(1, 90_000)
EARLY_TOLERANCE_PERIODS = 0.6  # periods that a frame may come before its time
CAMERA_TIMEOUT_NS = NS // 8  # without a picture for so long, a driver that can hear goes on by sound alone
TRAILING_SILENCE_S = 0.5  # a driver that can hear needs, and shows, a little silence after the last sound


MotionT = TypeVar("MotionT", bound=Motion)


class AnimatorProtocol(Protocol[MotionT]):
    """What turns inputs into pictures: an ``Animator``. Each verb is called from one thread of its own.

    ``draw``'s ``moment_ns`` is the picture's; that of the motion is before it where the motion is drawn once more.
    """

    def estimate(self, inputs: DriverInputs) -> MotionT: ...

    def draw(self, motion: MotionT, moment_ns: int, /) -> Image: ...

    def set_quality(self, quality: QualityLevel) -> None: ...


@dataclass(frozen=True, slots=True)
class _EstimatedMotion:
    motion: Motion
    inputs: DriverInputs
    moment_ns: int
    estimate_ms: float
    ready_ns: int

    def at_time(self, new_inputs: DriverInputs) -> _EstimatedMotion:
        """The same motion at the moment of ``inputs``, which nobody looks at."""
        moment_ns = self.motion.captured_ns + new_inputs.now_ns - self.inputs.now_ns
        return replace(self, moment_ns=moment_ns, estimate_ms=0.0, ready_ns=now_ns())


class AudioBuffer(Protocol):
    """Keeps the last moments of sound for a driver: ``audio.ring.SoundRing``."""

    def put(self, frame: AudioFrame) -> None: ...

    def read_newest(self, now_ns: int) -> AudioFrame | None: ...


class Pipeline:
    """Runs one capture (or the frame clock alone), one performer and any number of sinks.

    ``capture`` None means that the driver needs no camera: it is asked ``fps`` times a second. ``ear``: the driver
    listens to the microphone; while the camera then gives nothing, the frame clock goes on in its place.
    ``sound_out``: a sink that gets the microphone's sound and no pictures; when it fails, the run goes on without it.
    ``attended``: whether anybody takes the pictures; while nobody does, none is made.
    """

    def __init__(
        self,
        capture: Capture | None,
        animator: AnimatorProtocol[Any],
        sinks: Sequence[Sink],
        *,
        fps: float = 30.0,
        microphone: Capture | None = None,
        audio_buffer: AudioBuffer | None = None,
        sound_out: Sink | None = None,
        quality_controller: QualityController | None = None,
        has_consumers: Callable[[], bool] = lambda: True,
        stats: StatsCollector | None = None,
    ) -> None:
        self.stats = stats or StatsCollector()
        self.first_frame_sent = asyncio.Event()
        """Set when the first picture has reached a sink."""
        self._capture = capture
        self._microphone = microphone
        self._animator = animator
        self._audio_buffer = audio_buffer
        self._sink_runners = [SinkRunner(sink, self.stats, self.first_frame_sent.set) for sink in sinks]
        self._sound_runner = SinkRunner(sound_out, self.stats, self.first_frame_sent.set) if sound_out else None
        self._quality_controller = quality_controller
        self._has_consumers = has_consumers
        self._fps = fps
        self._pending_inputs: Latest[DriverInputs] = Latest()
        self._pending_motions: Latest[_EstimatedMotion] = Latest()
        self._source_tasks: list[asyncio.Task[None]] = []
        self._last_camera_ns = -NS  # when the camera gave its last picture
        self._stopping = False
        self._cpu_sample = (time.process_time(), time.monotonic())

    async def run(self) -> None:
        """Until the capture ends, ``stop`` is called or no sink is left.

        Raises: CaptureError; SinkError when a sink cannot be opened, or when the last one failed.
        """
        async with AsyncExitStack() as stack:
            for outlet in self._all_runners():
                await stack.enter_async_context(outlet.sink)
            sources: list[tuple[Callable[..., Awaitable[None]], tuple[Capture, ...]]] = []
            if self._capture is not None:
                sources.append((self._read_camera, (await stack.enter_async_context(self._capture),)))
            if self._capture is None or self._audio_buffer is not None:
                sources.append((self._run_frame_clock, ()))
            if self._microphone is not None:
                sources.append((self._read_microphone, (await stack.enter_async_context(self._microphone),)))
            if self._capture is not None:
                self._last_camera_ns = now_ns()
            estimating = await stack.enter_async_context(Worker("estimate"))
            drawing = await stack.enter_async_context(Worker("draw"))
            try:
                async with asyncio.TaskGroup() as group:
                    for outlet in self._sink_runners:
                        group.create_task(self._run_sink(outlet, outlet.video))
                    for outlet in self._all_runners():
                        group.create_task(self._run_sink(outlet, outlet.audio))
                    group.create_task(self._run_drawing(drawing))
                    group.create_task(self._run_estimation(estimating))
                    self._source_tasks = [group.create_task(self._run_source(fn, *args)) for fn, args in sources]
                    if self._stopping:
                        self.stop()
            except ExceptionGroup as failures:
                raise _first_error(failures) from failures
        failed = [outlet.error for outlet in self._sink_runners if outlet.error]
        if failed and len(failed) == len(self._sink_runners):
            raise failed[-1]

    def stop(self) -> None:
        """End as if the capture had ended: frames under way are delivered, then everything is closed."""
        self._stopping = True
        self._pending_inputs.close()  # here, as a source that is cancelled before its first step closes nothing
        for task in self._source_tasks:
            task.cancel()

    async def _run_source(self, fn: Callable[..., Awaitable[None]], *args: Capture) -> None:
        """Run one source of frames; when the one that leads ends, everything ends: the picture, else what is heard."""
        leading = (
            self._read_camera
            if self._capture
            else self._read_microphone
            if self._audio_buffer
            else self._run_frame_clock
        )
        try:
            await fn(*args)
            if fn == leading:
                self.stop()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            if fn != self._read_microphone:
                self._pending_inputs.close()

    async def _read_camera(self, capture: Capture) -> None:
        due_ns = 0
        while True:
            try:
                frame = await capture.recv()
            except EndOfStream:
                return
            if not isinstance(frame, VideoFrame):
                continue
            period_ns = round(NS / self._target_fps)
            if frame.captured_ns < due_ns - EARLY_TOLERANCE_PERIODS * period_ns:
                self.stats.count("capture.over_rate")
                continue
            # the mean rate is held, not each distance: frames of a network come early and late in turn
            due_ns = max(due_ns, frame.captured_ns - period_ns) + period_ns
            self._last_camera_ns = now_ns()
            self._submit(DriverInputs(frame=frame, audio=None, now_ns=frame.captured_ns))

    async def _run_frame_clock(self) -> None:
        """The frame clock; silent while the camera gives pictures."""
        pacer = FramePacer(self._fps)
        while True:
            pacer.period_ns = round(NS / self._target_fps)
            slot_ns = await pacer.wait_for_slot()
            if now_ns() - self._last_camera_ns > CAMERA_TIMEOUT_NS:
                self._submit(DriverInputs(frame=None, audio=None, now_ns=slot_ns))

    def _submit(self, inputs: DriverInputs) -> None:
        if self._has_consumers():
            self._pending_inputs.put(inputs)

    async def _read_microphone(self, microphone: Capture) -> None:
        while True:
            try:
                frame = await microphone.recv()
            except EndOfStream:
                if self._audio_buffer is not None:
                    await asyncio.sleep(TRAILING_SILENCE_S)
                return
            if isinstance(frame, AudioFrame):
                if self._audio_buffer is not None:
                    self._audio_buffer.put(frame)
                for outlet in self._all_runners():
                    outlet.audio.put(frame)

    async def _run_estimation(self, worker: Worker) -> None:
        last: _EstimatedMotion | None = None
        again = 0  # times that it was drawn once more
        try:
            while True:
                try:
                    inputs = await self._pending_inputs.get()
                except EndOfStream:
                    return
                if last is not None and again + 1 < self._track_every:
                    again += 1
                    self._pending_motions.put(last.at_time(inputs))
                    continue
                start = now_ns()
                self.stats.record_timing("wait_estimate", (start - inputs.now_ns) / 1e6)
                if self._audio_buffer is not None:
                    inputs = replace(inputs, audio=self._audio_buffer.read_newest(start))
                call = await worker.submit_and_wait(self._animator.estimate, inputs)
                end = now_ns()
                error = call.exception()
                if error is not None:
                    count_bad_frame(self.stats, "estimate", error)
                    continue
                self.stats.record_timing("estimate", (end - start) / 1e6)
                motion = call.result()
                last, again = _EstimatedMotion(motion, inputs, motion.captured_ns, (end - start) / 1e6, end), 0
                self._pending_motions.put(last)
        finally:
            self._count_drops("estimate", self._pending_inputs)
            self._pending_motions.close()

    async def _run_drawing(self, worker: Worker) -> None:
        timeline = PtsClock(TIME_BASE)
        try:
            while True:
                try:
                    item = await self._pending_motions.get()
                except EndOfStream:
                    return
                start = now_ns()
                self.stats.record_timing("wait_draw", (start - item.ready_ns) / 1e6)
                call = await worker.submit_and_wait(self._animator.draw, item.motion, item.moment_ns)
                draw_ms = (now_ns() - start) / 1e6
                error = call.exception()
                if error is not None:
                    count_bad_frame(self.stats, "draw", error)
                    continue
                self.stats.record_timing("draw", draw_ms)
                looked_at, captured_ns = item.inputs.frame, item.motion.captured_ns
                attached = looked_at.attached if looked_at else {}
                frame = VideoFrame(call.result(), timeline.to_pts(item.moment_ns), TIME_BASE, captured_ns, attached)
                for outlet in self._sink_runners:
                    outlet.video.put(frame)
                self._update_quality(max(item.estimate_ms, draw_ms))
        finally:
            self._count_drops("draw", self._pending_motions)
            for outlet in self._all_runners():
                outlet.close()

    async def _run_sink(self, runner: SinkRunner, queue: Latest[VideoFrame] | Fifo[AudioFrame]) -> None:
        await runner.deliver_frames(queue)
        if all(other.error for other in self._sink_runners):
            self.stop()

    @property
    def _target_fps(self) -> float:
        """Frames a second that are wished for now."""
        return self._quality_controller.quality.fps if self._quality_controller else self._fps

    @property
    def _track_every(self) -> int:
        """Every how manieth frame the performer is looked at."""
        return self._quality_controller.quality.track_every if self._quality_controller else 1

    def _all_runners(self) -> list[SinkRunner]:
        return self._sink_runners if self._sound_runner is None else [*self._sink_runners, self._sound_runner]

    def _update_quality(self, busy_ms: float) -> None:
        if self._quality_controller is None:
            return
        cpu, wall = time.process_time(), time.monotonic()
        elapsed = max(wall - self._cpu_sample[1], 1e-3)
        share = (cpu - self._cpu_sample[0]) / elapsed / (os.cpu_count() or 1)
        if elapsed > 1:
            self._cpu_sample = (cpu, wall)
        quality = self._quality_controller.observe_frame(busy_ms, share if elapsed > 0.5 else 0.0, now_ns())
        if quality is not None:
            self.stats.count("quality.changes")
            self._animator.set_quality(quality)

    def _count_drops(self, stage: str, queue: Latest[DriverInputs] | Latest[_EstimatedMotion]) -> None:
        self.stats.count(f"{stage}.dropped", queue.dropped)


def _first_error(failures: ExceptionGroup[Exception]) -> Exception:
    """The one failure that a person is told: a LiveheadError if there is any."""
    told = failures.subgroup(LiveheadError) or failures
    error: Exception = told
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
