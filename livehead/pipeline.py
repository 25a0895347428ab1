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

from livehead.clock import NS, Pacer, Timeline, now_ns
from livehead.concurrency import Fifo, Latest, Worker
from livehead.errors import LiveheadError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.governor import Governor, Quality
from livehead.interfaces import Capture, EndOfStream, Inputs, Motion, Sink
from livehead.outlet import Outlet, skip
from livehead.stats import Stats

TIME_BASE = Fraction(1, 90_000)
EARLY = 0.6  # periods that a frame may come before its time
CAMERA_PATIENCE_NS = NS // 8  # without a picture for so long, a driver that can hear goes on by sound alone
LAST_WORDS_S = 0.5  # a driver that can hear needs, and shows, a little silence after the last sound


MotionT = TypeVar("MotionT", bound=Motion)


class Performer(Protocol[MotionT]):
    """What turns inputs into pictures: an ``Animator``. Each verb is called from one thread of its own.

    ``draw``'s ``moment_ns`` is the picture's; that of the motion is before it where the motion is drawn once more.
    """

    def estimate(self, inputs: Inputs) -> MotionT: ...

    def draw(self, motion: MotionT, moment_ns: int, /) -> Image: ...

    def set_quality(self, quality: Quality) -> None: ...


@dataclass(frozen=True, slots=True)
class _Estimated:
    motion: Motion
    looked_at: Inputs
    moment_ns: int
    estimate_ms: float
    ready_ns: int

    def again(self, inputs: Inputs) -> _Estimated:
        """The same motion at the moment of ``inputs``, which nobody looks at."""
        moment_ns = self.motion.captured_ns + inputs.now_ns - self.looked_at.now_ns
        return replace(self, moment_ns=moment_ns, estimate_ms=0.0, ready_ns=now_ns())


class Ear(Protocol):
    """Keeps the last moments of sound for a driver: ``audio.ring.SoundRing``."""

    def put(self, frame: AudioFrame) -> None: ...

    def newest(self, now_ns: int) -> AudioFrame | None: ...


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
        performer: Performer[Any],
        sinks: Sequence[Sink],
        *,
        fps: float = 30.0,
        microphone: Capture | None = None,
        ear: Ear | None = None,
        sound_out: Sink | None = None,
        governor: Governor | None = None,
        attended: Callable[[], bool] = lambda: True,
        stats: Stats | None = None,
    ) -> None:
        self.stats = stats or Stats()
        self.first_sent = asyncio.Event()
        """Set when the first picture has reached a sink."""
        self._capture = capture
        self._microphone = microphone
        self._performer = performer
        self._ear = ear
        self._outlets = [Outlet(sink, self.stats, self.first_sent.set) for sink in sinks]
        self._sound_outlet = Outlet(sound_out, self.stats, self.first_sent.set) if sound_out else None
        self._governor = governor
        self._attended = attended
        self._fps = fps
        self._frames: Latest[Inputs] = Latest()
        self._motions: Latest[_Estimated] = Latest()
        self._sources: list[asyncio.Task[None]] = []
        self._seen_ns = -NS  # when the camera gave its last picture
        self._stopping = False
        self._cpu = (time.process_time(), time.monotonic())

    async def run(self) -> None:
        """Until the capture ends, ``stop`` is called or no sink is left.

        Raises: CaptureError; SinkError when a sink cannot be opened, or when the last one failed.
        """
        async with AsyncExitStack() as stack:
            for outlet in self._all_outlets():
                await stack.enter_async_context(outlet.sink)
            sources: list[tuple[Callable[..., Awaitable[None]], tuple[Capture, ...]]] = []
            if self._capture is not None:
                sources.append((self._watch, (await stack.enter_async_context(self._capture),)))
            if self._capture is None or self._ear is not None:
                sources.append((self._tick, ()))
            if self._microphone is not None:
                sources.append((self._listen, (await stack.enter_async_context(self._microphone),)))
            if self._capture is not None:
                self._seen_ns = now_ns()
            estimating = await stack.enter_async_context(Worker("estimate"))
            drawing = await stack.enter_async_context(Worker("draw"))
            try:
                async with asyncio.TaskGroup() as group:
                    for outlet in self._outlets:
                        group.create_task(self._deliver(outlet, outlet.video))
                    for outlet in self._all_outlets():
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
        self._frames.close()  # here, as a source that is cancelled before its first step closes nothing
        for task in self._sources:
            task.cancel()

    async def _source(self, fn: Callable[..., Awaitable[None]], *args: Capture) -> None:
        """Run one source of frames; when the one that leads ends, everything ends: the picture, else what is heard."""
        leading = self._watch if self._capture else self._listen if self._ear else self._tick
        try:
            await fn(*args)
            if fn == leading:
                self.stop()
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
            period_ns = round(NS / self._rate)
            if frame.captured_ns < due_ns - EARLY * period_ns:
                self.stats.count("capture.over_rate")
                continue
            # the mean rate is held, not each distance: frames of a network come early and late in turn
            due_ns = max(due_ns, frame.captured_ns - period_ns) + period_ns
            self._seen_ns = now_ns()
            self._ask(Inputs(frame=frame, audio=None, now_ns=frame.captured_ns))

    async def _tick(self) -> None:
        """The frame clock; silent while the camera gives pictures."""
        pacer = Pacer(self._fps)
        while True:
            pacer.period_ns = round(NS / self._rate)
            slot_ns = await pacer.tick()
            if now_ns() - self._seen_ns > CAMERA_PATIENCE_NS:
                self._ask(Inputs(frame=None, audio=None, now_ns=slot_ns))

    def _ask(self, inputs: Inputs) -> None:
        if self._attended():
            self._frames.put(inputs)

    async def _listen(self, microphone: Capture) -> None:
        while True:
            try:
                frame = await microphone.recv()
            except EndOfStream:
                if self._ear is not None:
                    await asyncio.sleep(LAST_WORDS_S)
                return
            if isinstance(frame, AudioFrame):
                if self._ear is not None:
                    self._ear.put(frame)
                for outlet in self._all_outlets():
                    outlet.sound.put(frame)

    async def _estimate(self, worker: Worker) -> None:
        last: _Estimated | None = None
        again = 0  # times that it was drawn once more
        try:
            while True:
                try:
                    inputs = await self._frames.get()
                except EndOfStream:
                    return
                if last is not None and again + 1 < self._track_every:
                    again += 1
                    self._motions.put(last.again(inputs))
                    continue
                start = now_ns()
                self.stats.record("wait_estimate", (start - inputs.now_ns) / 1e6)
                if self._ear is not None:
                    inputs = replace(inputs, audio=self._ear.newest(start))
                call = await worker.attempt(self._performer.estimate, inputs)
                end = now_ns()
                error = call.exception()
                if error is not None:
                    skip(self.stats, "estimate", error)
                    continue
                self.stats.record("estimate", (end - start) / 1e6)
                motion = call.result()
                last, again = _Estimated(motion, inputs, motion.captured_ns, (end - start) / 1e6, end), 0
                self._motions.put(last)
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
                call = await worker.attempt(self._performer.draw, item.motion, item.moment_ns)
                draw_ms = (now_ns() - start) / 1e6
                error = call.exception()
                if error is not None:
                    skip(self.stats, "draw", error)
                    continue
                self.stats.record("draw", draw_ms)
                looked_at, captured_ns = item.looked_at.frame, item.motion.captured_ns
                attached = looked_at.attached if looked_at else {}
                frame = VideoFrame(call.result(), timeline.pts(item.moment_ns), TIME_BASE, captured_ns, attached)
                for outlet in self._outlets:
                    outlet.video.put(frame)
                self._govern(max(item.estimate_ms, draw_ms))
        finally:
            self._count_drops("draw", self._motions)
            for outlet in self._all_outlets():
                outlet.close()

    async def _deliver(self, outlet: Outlet, line: Latest[VideoFrame] | Fifo[AudioFrame]) -> None:
        await outlet.deliver(line)
        if all(other.error for other in self._outlets):
            self.stop()

    @property
    def _rate(self) -> float:
        """Frames a second that are wished for now."""
        return self._governor.quality.fps if self._governor else self._fps

    @property
    def _track_every(self) -> int:
        """Every how manieth frame the performer is looked at."""
        return self._governor.quality.track_every if self._governor else 1

    def _all_outlets(self) -> list[Outlet]:
        return self._outlets if self._sound_outlet is None else [*self._outlets, self._sound_outlet]

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

    def _count_drops(self, stage: str, line: Latest[Inputs] | Latest[_Estimated]) -> None:
        self.stats.count(f"{stage}.dropped", line.dropped)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """The one failure that a person is told: a LiveheadError if there is any."""
    told = failures.subgroup(LiveheadError) or failures
    error: Exception = told
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
