"""A buffer with the newest second of sound, in the form that drivers take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from livehead.audio.downmix import SpeechDownmixer
from livehead.audio.rates import DRIVER_RATE
from livehead.audio.resampler import Signal, StreamingResampler
from livehead.clock import NS
from livehead.frames import AudioFrame

_JITTER_S = 0.03  # a block further than this off its place has a gap before it, or overlaps what is there
_SILENT_AFTER_S = 0.15  # a source that gives nothing for so long is taken to be silent


class AudioRingBuffer:
    """Keeps the newest second of a capture's sound: mono float32 at 16 kHz, without gaps.

    Blocks are placed by their time. A gap becomes silence; one longer than the buffer makes ``pts`` jump. When the
    capture's ``pts`` goes back, another sound begins: what came before is forgotten, and ``pts`` jumps. A capture that
    gives nothing (a lost device) is followed by silence, so that a mouth closes. Only one thread may use the buffer.

    ``seconds``: length of the buffer. ``on_gap``: called at each gap, to count it.
    """

    def __init__(self, seconds: float = 1.0, on_gap: Callable[[], object] | None = None) -> None:
        self._capacity = round(seconds * DRIVER_RATE)
        self._on_gap = on_gap
        self._samples: Signal = np.zeros(0, np.float32)
        self._end_index = 0  # running number of the sample after the newest ...
        self._end_ns: int | None = None  # ... and its time
        self._next_pts = 0  # the capture's, of the sample after its newest block
        self._resampler: StreamingResampler | None = None
        self._downmixer = SpeechDownmixer()
        self._overlap = 0  # samples of the next blocks that the buffer has already

    def put(self, frame: AudioFrame) -> None:
        """Add a block of the capture's sound."""
        if frame.pts < self._next_pts:
            self._start_new_stream(frame.captured_ns)
        self._next_pts = frame.pts + frame.samples.shape[1]
        resampler = self._resampler_for(frame)
        block = resampler(self._downmixer(frame.samples, frame.rate))
        self._append(block[self._overlap :])
        self._overlap -= min(self._overlap, len(block))
        if (
            not self._overlap
        ):  # the newest time stamp rules: it follows the drift between the sound card's clock and ours
            self._end_ns = frame.captured_ns + round((frame.duration_s - resampler.pending_s) * NS)

    def read_newest(self, now_ns: int) -> AudioFrame | None:
        """The buffer's content at ``now_ns``, float32 [1, N] up to the newest sample; None before the first block."""
        if self._end_ns is None:
            return None
        missing_s = (now_ns - self._end_ns) / NS
        if missing_s > _SILENT_AFTER_S:
            self._append_silence(round((missing_s - _JITTER_S) * DRIVER_RATE))
            self._resampler = None  # the next block is placed by its own time
        count = len(self._samples)
        return AudioFrame(
            self._samples[None].copy(), DRIVER_RATE, self._end_index - count, self._end_ns - count * NS // DRIVER_RATE
        )

    def _resampler_for(self, frame: AudioFrame) -> StreamingResampler:
        """The resampler for ``frame``; after a gap or an overlap, a new one whose output belongs at the end."""
        resampler = self._resampler
        if resampler is not None and self._end_ns is not None and resampler.rate_in == frame.rate:
            off_s = (frame.captured_ns - self._end_ns) / NS - resampler.pending_s
            if self._overlap or abs(off_s) <= _JITTER_S:
                return resampler
        self._resampler = resampler = StreamingResampler(frame.rate, DRIVER_RATE)
        if self._end_ns is not None:
            gap = round((frame.captured_ns - self._end_ns) / NS * DRIVER_RATE)
            if gap > _JITTER_S * DRIVER_RATE and self._on_gap is not None:
                self._on_gap()
            self._append_silence(gap)
            self._overlap = max(-gap, 0)
        return resampler

    def _start_new_stream(self, moment_ns: int) -> None:
        """Replace the content by silence up to ``moment_ns`` and let the sample numbers jump."""
        self._append(np.zeros(self._capacity, np.float32))
        self._end_index += self._capacity
        self._end_ns, self._resampler, self._overlap = moment_ns, None, 0

    def _append_silence(self, count: int) -> None:
        if count > 0 and self._end_ns is not None:
            self._end_ns += count * NS // DRIVER_RATE
            self._append(np.zeros(min(count, self._capacity), np.float32))
            self._end_index += max(count - self._capacity, 0)

    def _append(self, block: Signal) -> None:
        self._end_index += len(block)
        self._samples = np.concatenate([self._samples, block])[-self._capacity :]
