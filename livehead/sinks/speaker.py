"""Plays the microphone's sound on an output device (a virtual cable), delayed like the picture."""

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from livehead.audio.delay_line import DelayLine
from livehead.audio.portaudio import DeviceStream, StreamClock, list_devices
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame
from livehead.stats import StatsCollector

log = logging.getLogger(__name__)

_DELAY_STAGE = "capture_to_sink"
_MEDIAN_WINDOW = 150  # pictures whose median is the delay: five seconds
_MIN_TIMINGS = 15  # pictures until the delay counts as known
_ESTIMATE_INTERVAL_S = 0.5  # between two estimates of the delay
_RETRY_S = 0.5
_STALL_TIMEOUT_S = 3.0  # a device that asks for nothing for so long counts as lost
# without sound for so long the device is released, so that PortAudio can look for a lost microphone
_IDLE_RELEASE_S = 1.0


class SpeakerSink:
    """Plays sound on the output device ``name``, delayed by the time that pictures take from their capture to a sink.

    ``name``: a device's number, its name or a part of it. ``stats``: the pipeline's, where the pictures' delay is read
    (stage ``capture_to_sink``). It counts ``sound_out.lost`` (losses of the device), ``sound_out.starved`` (sound that
    came too late) and ``sound_out.drop_outs`` (gaps made by the card or the system); its stage ``sound_out`` is the
    delay in use. Pictures are ignored. A lost device is opened again when it comes back.
    Raises (on entering): SinkError when PortAudio or the device is missing.
    """

    def __init__(
        self, name: str | int | None, *, stats: StatsCollector, rate: int = 48_000, block_ms: float = 10.0
    ) -> None:
        self.name = name
        self._stats = stats
        self._delay_line = DelayLine()
        self._stream = DeviceStream("output", name, rate, block_ms, self._fill_block, self._on_stream_end)
        self._clock = StreamClock("output", rate)
        self._is_new_stream = True
        self._released = False
        self._lost = False
        self._next_estimate_s = self._next_try_s = 0.0
        self._last_received_s = self._last_filled_s = time.monotonic()  # of the last block sent, and requested
        self._worker = Worker("sound-out")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> SpeakerSink:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._stream.close)
            await self._worker.run(self._stream.open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stats.count("sound_out.starved", self._delay_line.underruns)
        await self._stack.aclose()

    @property
    def is_playing(self) -> bool:
        """Tells whether the device is in use at present."""
        return self._stream.running

    async def send(self, frame: Frame) -> None:
        """Queue a block of sound, which is heard later."""
        if not isinstance(frame, AudioFrame):
            return
        now_s = time.monotonic()
        if now_s - self._last_received_s > _IDLE_RELEASE_S:  # the pipeline has begun, or a lost microphone is back
            self._last_filled_s = now_s
        self._last_received_s = now_s
        self._delay_line.write(frame)
        if not (self._lost or self._released) and now_s - self._last_filled_s > _STALL_TIMEOUT_S:
            self._on_stream_end()
        if now_s >= self._next_estimate_s:
            self._next_estimate_s = now_s + _ESTIMATE_INTERVAL_S
            self._estimate_delay()
        if (self._lost or self._released) and now_s >= self._next_try_s:
            await self._reopen_device(now_s)

    def _estimate_delay(self) -> None:
        recent = self._stats.recent_timings(_DELAY_STAGE, _MEDIAN_WINDOW)
        if len(recent) >= _MIN_TIMINGS:
            self._delay_line.delay_s = median(recent) / 1000
            self._stats.record_timing("sound_out", self._delay_line.effective_delay_s * 1000)

    async def _reopen_device(self, now_s: float) -> None:
        self._next_try_s = now_s + _RETRY_S
        self._is_new_stream = True
        call = await self._worker.submit_and_wait(self._stream.reopen)
        error = call.exception()
        if error is None:
            if self._lost:
                log.warning("the sound output is back")
            self._lost = self._released = False
            self._last_filled_s = now_s
        elif not isinstance(error, SinkError):
            raise error

    def _fill_block(self, block: npt.NDArray[np.float32], count: int, times: Any, status: Any) -> None:
        """Fill ``block`` [N, channels] for PortAudio, on its own thread."""
        rate = self._stream.device_rate
        self._last_filled_s = time.monotonic()
        if self._is_new_stream:
            self._clock, self._is_new_stream = StreamClock("output", rate), False
        if status:
            self._stats.count("sound_out.drop_outs")
        until_heard_s = times.outputBufferDacTime - times.currentTime if times.outputBufferDacTime > 0 else 0.0
        heard_ns = self._clock.next_sample_ns(until_heard_s, count / rate)
        self._clock.sample_position += count
        block[:] = np.clip(self._delay_line.read(count, rate, heard_ns), -1, 1)[:, None]
        if self._last_filled_s - self._last_received_s > _IDLE_RELEASE_S:
            self._released = True
            self._stream.stop_from_callback()

    def _on_stream_end(self) -> None:
        if not self._released:
            self._lost = True
            self._stats.count("sound_out.lost")
            log.warning("the sound output is gone: it goes on when it is back")


def list_outputs() -> list[str]:
    """The names of the output devices. Raises: SinkError without PortAudio."""
    return list_devices("output")
