"""A capture for speech that another program makes (text-to-speech, an assistant), played out in real time.

Python code calls ``push``, ``clear`` and ``close``. Other programs use a local socket (``capture.tts_socket``).
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from livehead.audio.downmix import SpeechDownmixer
from livehead.audio.resampler import Signal, StreamingResampler
from livehead.capture.tts_socket import RATES, SpeechSocketServer
from livehead.clock import NS, PlaybackClock, RealtimePacer
from livehead.errors import CaptureError
from livehead.frames import AudioFrame
from livehead.interfaces import EndOfStream

_MAX_QUEUED_S = 60.0  # seconds of speech that ``push`` takes in advance


class PushedAudioCapture:
    """Plays the sound that is pushed, and silence while there is none, as mono float32 blocks at ``rate`` Hz.

    ``address``: path of a Unix socket (made with mode 0600), or a port of 127.0.0.1; None for ``push`` alone.
    After ``clear`` the ``pts`` of the next block is 0, which marks the beginning of another sound.
    Raises (on entering): CaptureError when the socket cannot be made.
    """

    def __init__(
        self,
        address: str | Path | int | None = None,
        *,
        rate: int = 48_000,
        block_ms: float = 10.0,
        clock: PlaybackClock | None = None,
    ) -> None:
        self.address = address
        self._rate = rate
        self._block_length = round(rate * block_ms / 1000)
        self._pacer = RealtimePacer(clock)
        self._blocks_played = 0
        self._lock = threading.Lock()
        self._queue: Signal = np.zeros(0, np.float32)
        self._resampler = StreamingResampler(rate, rate)
        self._downmixer = SpeechDownmixer()
        self._pts = 0
        self.generation = 0
        """How often the queue was cleared."""
        self._closed = False
        self._block_played = asyncio.Event()
        self._socket: SpeechSocketServer | None = None

    async def __aenter__(self) -> PushedAudioCapture:
        if self.address is not None:
            self._socket = SpeechSocketServer(self, self.address)
            await self._socket.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._socket is not None:
            await self._socket.close()

    @property
    def queued_s(self) -> float:
        """Seconds of speech that have not been played yet."""
        return len(self._queue) / self._rate

    async def wait_for_space(self, ahead_s: float) -> None:
        """Wait until less than ``ahead_s`` seconds of speech are queued, or the capture is cleared or closed."""
        generation = self.generation
        while self.queued_s >= ahead_s and generation == self.generation and not self._closed:
            self._block_played.clear()
            await self._block_played.wait()

    def push(self, samples: npt.NDArray[np.float32] | npt.NDArray[np.int16], rate: int) -> None:
        """Queue ``samples`` [N] or [C, N] (float in [-1, 1] or int16) of ``rate`` Hz; any thread may call this.

        Raises: CaptureError when too much is queued already, ValueError for another shape or rate.
        """
        if rate not in RATES or samples.ndim not in (1, 2):
            raise ValueError(f"speech is [N] or [C, N] at {RATES[0]} to {RATES[-1]} Hz, got {samples.shape} at {rate}")
        scale = 32768 if samples.dtype.kind == "i" else 1
        channels = np.clip(np.nan_to_num(np.atleast_2d(samples).astype(np.float32) / scale), -1, 1)
        with self._lock:
            mono = self._downmixer(channels, rate)
            if self.queued_s + len(mono) / rate > _MAX_QUEUED_S:
                raise CaptureError(
                    f"more than {_MAX_QUEUED_S:g} s of speech are waiting", "push it as it is spoken: look at queued_s"
                )
            if self._resampler.rate_in != rate:
                self._resampler = StreamingResampler(rate, self._rate)
            self._queue = np.concatenate([self._queue, self._resampler(mono)])

    def clear(self) -> None:
        """Drop what has not been played yet; silence follows at once. Any thread may call this."""
        with self._lock:
            self.generation += 1
            self._queue = self._queue[:0]
            self._resampler.reset()
            self._pts = 0
        if self._socket is not None:
            self._socket.abort_connections()

    def close(self) -> None:
        """End the stream after the present block. Any thread may call this."""
        self._closed = True

    async def recv(self) -> AudioFrame:
        """The next block, once its last sample is due, as from a microphone. Raises: EndOfStream once closed."""
        length_ns = self._block_length * NS // self._rate
        moment_ns = await self._pacer.wait_until_due(self._blocks_played * length_ns, length_ns)
        self._blocks_played += 1
        self._block_played.set()
        if self._closed:
            raise EndOfStream
        with self._lock:
            block, self._queue = self._queue[: self._block_length], self._queue[self._block_length :]
            pts = self._pts
            self._pts += self._block_length
        return AudioFrame(np.pad(block, (0, self._block_length - len(block)))[None], self._rate, pts, moment_ns)
