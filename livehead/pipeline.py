"""The live pipeline joins a motion source, a motion consumer and any number of sinks.

    motion source -> newest motion -> motion consumer -> each sink's newest picture -> sink
    microphone -> the driver's audio buffer and each sink's queue of sound

Source and consumer overlap, each on a thread of its own. The newest motion wins, what is dropped is counted, and no
frame travels upstream. A motion that cannot be drawn is counted and skipped; a sink that fails is closed alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from livehead.clock import now_ns
from livehead.concurrency import Latest
from livehead.errors import root_cause
from livehead.frames import AudioFrame
from livehead.interfaces import Capture, EndOfStream, Sink
from livehead.motion_consumer import AnimatorConsumer, MotionAnimator
from livehead.motion_source import AudioBuffer, DriverMotionSource, MotionEstimator
from livehead.motion_stages import MotionConsumer, MotionSource, TimedMotion
from livehead.quality import QualityController
from livehead.sink_runner import SinkGroup
from livehead.stats import StatsCollector

TRAILING_SILENCE_S = 0.5  # a driver that can hear needs, and shows, a little silence after the last sound


class AnimatorProtocol(MotionEstimator, MotionAnimator[Any], Protocol):
    """Turns inputs into pictures in two halves that run on a thread each, as an ``Animator`` with a driver does."""


class Pipeline:
    """Runs one motion source, one motion consumer and any number of sinks.

    ``audio_buffer`` keeps the microphone's sound for the source's driver. ``sound_out`` is a sink that gets the
    microphone's sound and no pictures. ``quality_controller`` is given the time of each frame, and its level is given
    to source and consumer.
    """

    def __init__(
        self,
        source: MotionSource,
        consumer: MotionConsumer,
        sinks: Sequence[Sink],
        *,
        microphone: Capture | None = None,
        audio_buffer: AudioBuffer | None = None,
        sound_out: Sink | None = None,
        quality_controller: QualityController | None = None,
        stats: StatsCollector | None = None,
    ) -> None:
        self.stats = stats or StatsCollector()
        self._source = source
        self._consumer = consumer
        self._sinks = SinkGroup(sinks, sound_out, self.stats)
        self.first_frame_sent = self._sinks.first_frame_sent
        """Set when the first picture has reached a sink."""
        self._microphone = microphone
        self._audio_buffer = audio_buffer
        self._quality_controller = quality_controller
        self._pending_motions: Latest[TimedMotion] = Latest()
        self._cpu_sample = (time.process_time(), time.monotonic())
        if quality_controller is not None:
            source.set_quality(quality_controller.quality)

    @classmethod
    def from_animator(
        cls,
        capture: Capture | None,
        animator: AnimatorProtocol,
        sinks: Sequence[Sink],
        *,
        fps: float = 30.0,
        microphone: Capture | None = None,
        audio_buffer: AudioBuffer | None = None,
        sound_out: Sink | None = None,
        quality_controller: QualityController | None = None,
        has_consumers: Callable[[], bool] = lambda: True,
        stats: StatsCollector | None = None,
    ) -> Pipeline:
        """Make the usual pipeline: an animator whose driver looks at ``capture`` (None: at nothing), and which draws.

        ``has_consumers`` tells whether anybody takes the pictures; while nobody does, none is made.
        """
        stats = stats or StatsCollector()
        source = DriverMotionSource(
            capture, animator, fps=fps, audio_buffer=audio_buffer, has_consumers=has_consumers, stats=stats
        )
        return cls(
            source,
            AnimatorConsumer(animator, stats),
            sinks,
            microphone=microphone,
            audio_buffer=audio_buffer,
            sound_out=sound_out,
            quality_controller=quality_controller,
            stats=stats,
        )

    async def run(self) -> None:
        """Run until the source ends, ``stop`` is called or no sink is left.

        Raises: CaptureError; SinkError when a sink cannot be opened, or when the last one failed; at the end
        LostRecordingError for a file that is incomplete, though other sinks went on.
        """
        async with AsyncExitStack() as stack:
            if not await self._sinks.open(stack):
                return
            await stack.enter_async_context(self._source)
            microphone = await stack.enter_async_context(self._microphone) if self._microphone else None
            await stack.enter_async_context(self._consumer)
            try:
                async with asyncio.TaskGroup() as group:
                    self._sinks.start(group, self.stop)
                    group.create_task(self._run_consumer())
                    listening = group.create_task(self._read_microphone(microphone)) if microphone else None
                    group.create_task(self._run_source(listening))
            except ExceptionGroup as failures:
                raise root_cause(failures) from failures
        self._sinks.raise_failures()

    def stop(self) -> None:
        """End ``run`` as if the source had ended: frames under way are delivered, then everything is closed."""
        self._sinks.stop_opening()
        self._source.stop()

    async def _run_source(self, listening: asyncio.Task[None] | None) -> None:
        try:
            await self._source.run(self._pending_motions)
        finally:
            self._pending_motions.close()
            if listening is not None:
                listening.cancel()

    async def _read_microphone(self, microphone: Capture) -> None:
        while True:
            try:
                frame = await microphone.recv()
            except EndOfStream:
                break
            if isinstance(frame, AudioFrame):
                if self._audio_buffer is not None:
                    self._audio_buffer.put(frame)
                self._sinks.put_audio(frame)
        if self._source.ends_with_microphone:
            await asyncio.sleep(TRAILING_SILENCE_S)
            self.stop()

    async def _run_consumer(self) -> None:
        try:
            while True:
                try:
                    motion = await self._pending_motions.get()
                except EndOfStream:
                    return
                await self._consume(motion)
        finally:
            self.stats.count("draw.dropped", self._pending_motions.dropped)
            self._sinks.close()

    async def _consume(self, motion: TimedMotion) -> None:
        start = now_ns()
        self.stats.record_timing("wait_draw", (start - motion.ready_ns) / 1e6)
        frame = await self._consumer.consume(motion)
        if frame is None:
            return
        draw_ms = (now_ns() - start) / 1e6
        self.stats.record_timing("draw", draw_ms)
        self._sinks.put_video(frame)
        self._update_quality(max(motion.estimate_ms, draw_ms))

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
            self._source.set_quality(quality)
            self._consumer.set_quality(quality)
