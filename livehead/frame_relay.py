"""Passes pictures on as they come: a capture's frames, fitted on a thread, to any number of sinks.

``run --render-at`` shows with it the pictures that come back from the machine that draws, and ``bench webrtc`` measures
with it what everything but the avatar costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import cv2
import numpy as np

from livehead.concurrency import Latest, Worker
from livehead.errors import root_cause
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Capture, EndOfStream, Sink
from livehead.motion_source import FrameRateGate
from livehead.sink_runner import SinkGroup, count_bad_frame
from livehead.stats import StatsCollector


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Stretch ``image`` (uint8 [h, w, 3 or 4] RGB(A)) to ``size`` (width, height), without its alpha."""
    if image.shape[1::-1] == size:
        return image[..., :3]
    return np.asarray(cv2.resize(np.ascontiguousarray(image[..., :3]), size), np.uint8)


class FrameRelay:
    """Runs one capture of pictures, a microphone and any number of sinks, without a driver and without a renderer.

    ``fit(image)`` turns the capture's picture into the one that is sent, both uint8 [H, W, 3] RGB; it is called on a
    thread. At most ``fps`` pictures a second are passed on. ``sound_out`` is a sink that gets sound only.
    """

    def __init__(
        self,
        capture: Capture,
        fit: Callable[[Image], Image],
        sinks: Sequence[Sink],
        *,
        fps: float = 30.0,
        microphone: Capture | None = None,
        sound_out: Sink | None = None,
        stats: StatsCollector | None = None,
    ) -> None:
        self.stats = stats or StatsCollector()
        self._capture = capture
        self._fit = fit
        self._fps = fps
        self._microphone = microphone
        self._sinks = SinkGroup(sinks, sound_out, self.stats)
        self.first_frame_sent = self._sinks.first_frame_sent
        """Set when the first picture has reached a sink."""
        self._pending: Latest[VideoFrame] = Latest()
        self._reading: list[asyncio.Task[None]] = []
        self._stopping = False

    async def run(self) -> None:
        """Run until the capture ends, ``stop`` is called or no sink is left.

        Raises: CaptureError; SinkError when a sink cannot be opened, or when the last one failed; at the end
        LostRecordingError for a file that is incomplete, though other sinks went on.
        """
        async with AsyncExitStack() as stack:
            if not await self._sinks.open(stack):
                return
            capture = await stack.enter_async_context(self._capture)
            microphone = await stack.enter_async_context(self._microphone) if self._microphone else None
            worker = await stack.enter_async_context(Worker("relay"))
            try:
                async with asyncio.TaskGroup() as group:
                    self._sinks.start(group, self.stop)
                    group.create_task(self._pass_on(worker))
                    self._reading = [group.create_task(self._read_pictures(capture))]
                    if microphone is not None:
                        self._reading.append(group.create_task(self._read_sound(microphone)))
                    if self._stopping:
                        self.stop()
            except ExceptionGroup as failures:
                raise root_cause(failures) from failures
        self._sinks.raise_failures()

    def stop(self) -> None:
        """End as if the capture had ended; callable from the event loop, also before ``run``."""
        self._stopping = True
        self._sinks.stop_opening()
        self._pending.close()
        for task in self._reading:
            task.cancel()

    async def _read_pictures(self, capture: Capture) -> None:
        gate = FrameRateGate()
        try:
            while True:
                frame = await capture.recv()
                if not isinstance(frame, VideoFrame):
                    continue
                if gate.admits(frame.captured_ns, self._fps):
                    self._pending.put(frame)
                else:
                    self.stats.count("capture.over_rate")
        except EndOfStream:
            self.stop()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._pending.close()

    async def _read_sound(self, microphone: Capture) -> None:
        try:
            while True:
                frame = await microphone.recv()
                if isinstance(frame, AudioFrame):
                    self._sinks.put_audio(frame)
        except EndOfStream:
            return

    async def _pass_on(self, worker: Worker) -> None:
        try:
            while True:
                frame = await self._pending.get()
                image = await worker.run_or_error(self._fit, frame.image)
                if isinstance(image, Exception):
                    count_bad_frame(self.stats, "relay", image)
                else:
                    self._sinks.put_video(replace(frame, image=image))
        except EndOfStream:
            return
        finally:
            self.stats.count("relay.dropped", self._pending.dropped)
            self._sinks.close()
