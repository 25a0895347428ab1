"""Motion from a driver: a camera, a microphone's newest sound and the frame clock become inputs for the driver.

    camera -> newest inputs -> estimate (thread) -> output
    frame clock, while there is no camera or it gives nothing, for drivers that hear or idle

The newest inputs win, and what is dropped is counted. A frame that the driver cannot take is counted and skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol

from livehead.clock import NS, FramePacer, now_ns
from livehead.concurrency import Latest, Worker
from livehead.frames import AudioFrame, VideoFrame
from livehead.interfaces import Capture, DriverInputs, EndOfStream, Motion
from livehead.motion_stages import TimedMotion
from livehead.performer_watch import PerformerWatch
from livehead.quality import QualityLevel
from livehead.sink_runner import count_bad_frame
from livehead.stats import StatsCollector

CAMERA_TIMEOUT_NS = NS // 8  # without a picture for so long, a driver that can hear goes on by sound alone

_EARLY_TOLERANCE_PERIODS = 0.6  # periods that a frame may come before its time


class MotionEstimator(Protocol):
    """Estimates motion from inputs, on one worker thread: a ``Driver``, or an ``Animator`` that has one."""

    def estimate(self, inputs: DriverInputs) -> Motion: ...


class AudioBuffer(Protocol):
    """Keeps the last moments of sound for a driver, as ``audio.ring.AudioRingBuffer`` does."""

    def put(self, frame: AudioFrame) -> None: ...

    def read_newest(self, now_ns: int) -> AudioFrame | None: ...


class FrameRateGate:
    """Lets through about ``fps`` frames a second of a capture that gives more.

    The mean rate is held, not each interval: frames that come over a network are early and late in turn.
    """

    def __init__(self) -> None:
        self._due_ns = 0

    def admits(self, captured_ns: int, fps: float) -> bool:
        """Tell whether the frame taken at ``captured_ns`` is let through at ``fps`` frames a second."""
        period_ns = round(NS / fps)
        if captured_ns < self._due_ns - _EARLY_TOLERANCE_PERIODS * period_ns:
            return False
        self._due_ns = max(self._due_ns, captured_ns - period_ns) + period_ns
        return True


class DriverMotionSource:
    """A ``MotionSource``: a driver before a camera, or before the frame clock alone.

    ``capture`` None means that the driver needs no camera and is asked ``fps`` times a second. The driver hears the
    newest sound of ``audio_buffer``; while the camera gives nothing, the frame clock then goes on in its place.
    ``has_consumers`` tells whether anybody takes the pictures; while nobody does, nothing is estimated.
    """

    def __init__(
        self,
        capture: Capture | None,
        estimator: MotionEstimator,
        *,
        fps: float = 30.0,
        audio_buffer: AudioBuffer | None = None,
        has_consumers: Callable[[], bool] = lambda: True,
        stats: StatsCollector | None = None,
    ) -> None:
        self._capture = capture
        self._estimator = estimator
        self._audio_buffer = audio_buffer
        self._has_consumers = has_consumers
        self._stats = stats or StatsCollector()
        self.performer_watch = PerformerWatch(self._stats)
        """Tells who is seen."""
        self._fps = fps
        self._track_every = 1
        self._rate_gate = FrameRateGate()
        self._pending_inputs: Latest[DriverInputs] = Latest()
        self._reading: list[asyncio.Task[None]] = []
        self._last_camera_ns = -NS
        self._stopping = False
        self._stack = AsyncExitStack()

    @property
    def ends_with_microphone(self) -> bool:
        """True where the driver hears and there is no camera."""
        return self._capture is None and self._audio_buffer is not None

    async def __aenter__(self) -> DriverMotionSource:
        if self._capture is not None:
            self._capture = await self._stack.enter_async_context(self._capture)
            self._last_camera_ns = now_ns()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def stop(self) -> None:
        """End ``run`` as if the camera had ended; callable from the event loop, also before ``run``."""
        self._stopping = True
        self._pending_inputs.close()  # here, as a task that is cancelled before its first step closes nothing
        for task in self._reading:
            task.cancel()

    def set_quality(self, quality: QualityLevel) -> None:
        """Track every ``track_every``-th frame, at ``fps`` frames a second."""
        self._fps, self._track_every = quality.fps, quality.track_every

    async def run(self, output: Latest[TimedMotion]) -> None:
        """Estimate until the camera ends or ``stop`` is called. Raises: CaptureError."""
        readers: list[Callable[[], Awaitable[None]]] = []
        if self._capture is not None:
            readers.append(self._read_camera)
        if self._capture is None or self._audio_buffer is not None:
            readers.append(self._run_frame_clock)
        async with Worker("estimate") as worker, asyncio.TaskGroup() as group:
            group.create_task(self._run_estimation(worker, output))
            self._reading = [group.create_task(self._run_reader(reader)) for reader in readers]
            if self._stopping:
                self.stop()

    async def _run_reader(self, reader: Callable[[], Awaitable[None]]) -> None:
        """Run one reader; the end of the camera ends everything."""
        try:
            await reader()
            self.stop()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._pending_inputs.close()

    async def _read_camera(self) -> None:
        assert self._capture is not None
        while True:
            try:
                frame = await self._capture.recv()
            except EndOfStream:
                return
            if not isinstance(frame, VideoFrame):
                continue
            self._stats.count("capture.frames")
            if not self._rate_gate.admits(frame.captured_ns, self._fps):
                self._stats.count("capture.over_rate")
                continue
            self._last_camera_ns = now_ns()
            self._submit(DriverInputs(frame=frame, audio=None, now_ns=frame.captured_ns))

    async def _run_frame_clock(self) -> None:
        """Ask the driver at the frame rate, but not while the camera gives pictures."""
        pacer = FramePacer(self._fps)
        while True:
            pacer.period_ns = round(NS / self._fps)
            slot_ns = await pacer.wait_for_slot()
            if now_ns() - self._last_camera_ns > CAMERA_TIMEOUT_NS:
                self._submit(DriverInputs(frame=None, audio=None, now_ns=slot_ns))

    def _submit(self, inputs: DriverInputs) -> None:
        if self._has_consumers():
            self._pending_inputs.put(inputs)

    async def _run_estimation(self, worker: Worker, output: Latest[TimedMotion]) -> None:
        last: tuple[DriverInputs, Motion] | None = None
        repeats = 0  # times that the last motion was given once more
        try:
            while True:
                try:
                    inputs = await self._pending_inputs.get()
                except EndOfStream:
                    return
                if last is not None and repeats + 1 < self._track_every:
                    repeats += 1
                    output.put(_repeated(*last, inputs))
                    continue
                estimated = await self._estimate(worker, inputs)
                if estimated is not None:
                    last, repeats = (inputs, estimated.motion), 0
                    output.put(estimated)
        finally:
            self._stats.count("estimate.dropped", self._pending_inputs.dropped)

    async def _estimate(self, worker: Worker, inputs: DriverInputs) -> TimedMotion | None:
        start = now_ns()
        self._stats.record_timing("wait_estimate", (start - inputs.now_ns) / 1e6)
        if self._audio_buffer is not None:
            inputs = replace(inputs, audio=self._audio_buffer.read_newest(start))
        motion = await worker.run_or_error(self._estimator.estimate, inputs)
        end = now_ns()
        if isinstance(motion, Exception):
            count_bad_frame(self._stats, "estimate", motion)
            return None
        elapsed_ms = (end - start) / 1e6
        self._stats.record_timing("estimate", elapsed_ms)
        if inputs.frame is not None:
            self.performer_watch.observe(inputs.frame, motion)
        return TimedMotion(motion, motion.captured_ns, end, elapsed_ms, _attached_to(inputs))


def _repeated(inputs: DriverInputs, motion: Motion, new_inputs: DriverInputs) -> TimedMotion:
    """Return the motion of ``inputs`` at the moment of ``new_inputs``, which the driver does not look at."""
    presented_ns = motion.captured_ns + new_inputs.now_ns - inputs.now_ns
    return TimedMotion(motion, presented_ns, now_ns(), 0.0, _attached_to(inputs))


def _attached_to(inputs: DriverInputs) -> Any:
    return inputs.frame.attached if inputs.frame is not None else {}
