"""The microphone, read through PortAudio in short mono blocks that carry the time of their first sample."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from livehead.audio.downmix import SpeechDownmixer
from livehead.audio.portaudio import DeviceStream, StreamClock, list_devices
from livehead.audio.resampler import StreamingResampler
from livehead.clock import NS
from livehead.concurrency import Fifo, Worker
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import EndOfStream
from livehead.stats import StatsCollector

log = logging.getLogger(__name__)

_QUEUE_LENGTH = 50  # blocks that may wait for the reader: half a second to a second
_STALL_TIMEOUT_S = 3.0  # a device that gives nothing for so long counts as lost
_RETRY_S = 0.5


class MicrophoneCapture:
    """Gives float32 mono blocks of sound from the input device ``name``; two channels are mixed down.

    ``name``: a device's number, its name or a part of it, in upper or lower case; None takes the system's default.
    ``rate``: Hz; the sound of a device that refuses it is resampled. ``block_ms``: 10 to 20.
    ``captured_ns`` is the sound card's time of the first sample, put on the monotonic clock without the jitter with
    which blocks arrive. ``pts`` jumps where samples were lost. A lost device is opened again when it comes back, at
    whatever rate it then has. ``stats`` counts ``microphone.drop_outs`` (gaps made by the card or the system),
    ``microphone.dropped`` (blocks not fetched in time) and ``microphone.lost`` (losses of the device).
    Raises (on entering): CaptureError when PortAudio or the device is missing.
    """

    def __init__(
        self,
        name: str | int | None = None,
        *,
        rate: int = 16_000,
        block_ms: float = 20.0,
        stats: StatsCollector | None = None,
    ) -> None:
        self.name = name
        self.rate = rate
        self._stats = stats or StatsCollector()
        self._queue: Fifo[AudioFrame] = Fifo(_QUEUE_LENGTH)
        self._closed = False
        self._stream = DeviceStream("input", name, rate, block_ms, self._on_block, self._on_stream_end)
        self._worker = Worker("microphone")
        self._clock = StreamClock("input", rate)
        self._resampler = StreamingResampler(rate, rate)
        self._downmixer = SpeechDownmixer()
        self._is_new_stream = True  # the next block is the first of its stream
        self._pts = 0
        self._end_ns: int | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> MicrophoneCapture:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._close)
            await self._worker.run(self._open, self._stream.open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        await self._stack.aclose()

    async def recv(self) -> AudioFrame:
        """The next block; while the device is gone it waits for its return. Raises: EndOfStream once closed."""
        while True:
            try:
                async with asyncio.timeout(_STALL_TIMEOUT_S):
                    return await self._queue.get()
            except (EndOfStream, TimeoutError):
                if self._closed:
                    raise EndOfStream from None
                await self._wait_for_device()

    async def _wait_for_device(self) -> None:
        self._stats.count("microphone.lost")
        log.warning("the microphone is gone: it goes on when it is back")
        self._stats.count("microphone.dropped", self._queue.dropped)
        while True:
            self._queue = Fifo(_QUEUE_LENGTH)
            call = await self._worker.submit_and_wait(self._open, self._stream.reopen)
            error = call.exception()
            if error is None:
                log.warning("the microphone is back")
                return
            if not isinstance(error, CaptureError):
                raise error
            await asyncio.sleep(_RETRY_S)

    def _open(self, open_stream: Callable[[], None]) -> None:
        self._is_new_stream = True
        open_stream()

    def _on_block(self, block: Samples, count: int, time: Any, status: Any) -> None:
        """Queue one block, on PortAudio's thread; ``block`` is float32 [N, C] and PortAudio reuses its memory."""
        device_rate = self._stream.device_rate
        if self._is_new_stream:
            self._clock, self._resampler = StreamClock("input", device_rate), StreamingResampler(device_rate, self.rate)
        # both times are on PortAudio's own clock, which need not be ours; their difference is the block's age
        age_s = time.currentTime - time.inputBufferAdcTime if time.inputBufferAdcTime > 0 else 0.0
        moment_ns = self._clock.next_sample_ns(-age_s, -count / device_rate)
        if status:
            self._stats.count("microphone.drop_outs")
            moment_ns += self._clock.skip_lost_samples() * NS // device_rate
        self._clock.sample_position += count
        moment_ns -= round(self._resampler.pending_s * NS)
        if (self._is_new_stream or status) and self._end_ns is not None:
            self._pts += max(round((moment_ns - self._end_ns) * self.rate / NS), 0)
        self._is_new_stream = False
        mono = self._downmixer(block.T.copy(), device_rate)  # a copy, since PortAudio uses its buffer again
        samples = self._resampler(mono)[None]
        self._queue.put(AudioFrame(samples, self.rate, self._pts, moment_ns))
        self._pts += samples.shape[1]
        self._end_ns = moment_ns + samples.shape[1] * NS // self.rate

    def _on_stream_end(self) -> None:
        self._queue.close()

    def _close(self) -> None:
        self._stream.close()
        self._queue.close()
        self._stats.count("microphone.dropped", self._queue.dropped)


def list_microphones() -> list[str]:
    """The names of the input devices. Raises: CaptureError without PortAudio."""
    return list_devices("input")
