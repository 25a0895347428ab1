"""A delay for sound that can change while it plays, without a click.

Small corrections (a slowly changing delay, the drift between two sound cards) play the sound up to half a per cent
faster or slower, which is inaudible, or are made at once in a pause; large ones cross-fade to the right place.
"""

from __future__ import annotations

import threading

import numpy as np

from livehead.audio.downmix import SpeechDownmixer
from livehead.audio.resampler import Signal, interpolate, kernel_half_width
from livehead.clock import NS
from livehead.frames import AudioFrame

_BUFFER_S = 3.0  # longer than any delay that makes sense in a call
_JITTER_S = 0.03  # a block further than this off its place has a gap before it
_MAX_SPEED_CHANGE = 0.005  # the largest change of speed; 9 cents
_CORRECTION_S = 2.0  # the time over which a small error is corrected
_CROSS_FADE_ERROR_S = 0.05  # a larger error would take too long to correct, so it is cross-faded
_PAUSE_ERROR_S = 0.003  # a larger error is corrected at once in a pause
_SILENCE_PEAK = 0.003  # a pause has peaks below -50 dB
_FADE_S = 0.01
_DELAY_STEP_S = 0.01  # how much the delay grows each time that sound came too late to be played in time
_MAX_DELAY_S = 1.0
_MARGIN_S = 0.02  # when sound came earlier than needed by more than this ...
_MARGIN_WINDOW_S = 2.0  # ... for so long, the delay shrinks again


class DelayLine:
    """A delay line for sound, mixed down to mono: one thread writes blocks, another reads the samples that are due."""

    def __init__(self) -> None:
        self.delay_s: float | None = None
        """Seconds from a sample's capture until it is heard; None gives silence. It may be set at any time."""
        self.underruns = 0
        """How often the sound had not arrived when it was due."""
        self._lock = threading.Lock()
        self._rate = 0
        self._downmixer = SpeechDownmixer()
        self._samples: Signal = np.zeros(0, np.float32)
        self._end = 0  # running number of the sample after the newest ...
        self._end_ns = 0  # ... and its time
        self._next_pts = 0  # the capture's, of the sample after its newest block
        self._read_position: float | None = None  # running number of the next sample to read
        self._was_late = False
        self._min_delay_s = 0.0  # the least delay with which the sound arrives in time
        self._min_margin_s = _MAX_DELAY_S  # the least margin of the blocks read since ...
        self._margin_since_ns = 0  # ... this moment

    @property
    def effective_delay_s(self) -> float:
        """The delay in use in seconds: ``delay_s``, or more where the sound itself takes longer to arrive."""
        return max(self.delay_s or 0.0, self._min_delay_s)

    def write(self, frame: AudioFrame) -> None:
        """Add a block at the place that its time gives; a ``pts`` that goes back drops what was not read yet."""
        samples = self._downmixer(frame.samples, frame.rate)
        with self._lock:
            if frame.rate != self._rate:
                self._rate, self._samples, self._read_position = frame.rate, self._samples[:0], None
            gap_s = (frame.captured_ns - self._end_ns) / NS
            if frame.pts < self._next_pts:
                self._drop_unheard()
            elif self._was_late and abs(gap_s) <= _JITTER_S:
                self._min_delay_s = min(self.effective_delay_s + _DELAY_STEP_S, _MAX_DELAY_S)
            if len(self._samples) and abs(gap_s) > _JITTER_S:
                samples = self._separate_block(samples, gap_s)
            self._was_late = False
            self._next_pts = frame.pts + frame.samples.shape[1]
            self._append(samples)
            self._end_ns = frame.captured_ns + round(frame.duration_s * NS)

    def read(self, count: int, rate: int, heard_ns: int) -> Signal:
        """Read ``count`` samples [count] at ``rate`` Hz, the first of which is heard at ``heard_ns``."""
        with self._lock:
            if self.delay_s is None or not len(self._samples):
                return np.zeros(count, np.float32)
            step = self._rate / rate
            self._lower_min_delay(heard_ns)
            captured_ns = heard_ns - round(self.effective_delay_s * NS)
            wanted = self._end - (self._end_ns - captured_ns) * self._rate / NS
            if self._read_position is None:
                return self._fade_in(count, step, wanted)
            off_s = (wanted - self._read_position) / self._rate
            if abs(off_s) > _CROSS_FADE_ERROR_S:
                return self._cross_fade(count, step, wanted, self._read_position)
            speed_change = float(np.clip(off_s / _CORRECTION_S, -_MAX_SPEED_CHANGE, _MAX_SPEED_CHANGE))
            sound = self._interpolate_block(count, step, self._read_position, speed_change)
            if abs(off_s) > _PAUSE_ERROR_S and np.abs(sound).max(initial=0) < _SILENCE_PEAK:
                return self._cross_fade(count, step, wanted, self._read_position)
            self._read_position += count * step * (1 + speed_change)
            self._min_margin_s = min(
                self._min_margin_s, (self._end - self._read_position - kernel_half_width(1 / step)) / self._rate
            )
            return self._fade_out_underrun(sound, step)

    def _lower_min_delay(self, heard_ns: int) -> None:
        """Shorten the least delay after the sound has arrived early enough for a while."""
        if heard_ns - self._margin_since_ns < _MARGIN_WINDOW_S * NS:
            return
        if self._read_position is not None and self._min_margin_s > _MARGIN_S:
            self._min_delay_s = max(self._min_delay_s - (self._min_margin_s - _MARGIN_S), 0.0)
        self._margin_since_ns, self._min_margin_s = heard_ns, _MAX_DELAY_S

    def _interpolate_block(self, count: int, step: float, start: float, speed_change: float = 0.0) -> Signal:
        """``count`` samples from position ``start`` on, ``step * (1 + speed_change)`` apart."""
        first = self._end - len(self._samples)
        # the kernel of the plain step fits too: its slope is wider than any change of speed, and a new kernel takes ms
        return interpolate(self._samples, start - first + np.arange(count) * step * (1 + speed_change), 1 / step)

    def _fade_in(self, count: int, step: float, target: float) -> Signal:
        """Begin to play at ``target`` with a fade, or give silence until the samples wanted have arrived."""
        if target + count * step + kernel_half_width(1 / step) > self._end:
            self._was_late = True
            return np.zeros(count, np.float32)
        self._read_position = target + count * step
        sound = self._interpolate_block(count, step, target)
        rise = _raised_cosine(min(_FADE_S * self._rate / step, count))
        sound[: len(rise)] *= rise
        return sound

    def _cross_fade(self, count: int, step: float, target: float, start: float) -> Signal:
        """Cross-fade from position ``start`` to position ``target`` within this block."""
        old = self._interpolate_block(count, step, start)
        fall = _raised_cosine(min(_FADE_S * self._rate / step, count))[::-1]
        old[: len(fall)] *= fall
        old[len(fall) :] = 0
        self._read_position = None
        return old + self._fade_in(count, step, target)

    def _fade_out_underrun(self, sound: Signal, step: float) -> Signal:
        """Fade ``sound`` out where its samples have not arrived in time."""
        lacking = ((self._read_position or 0.0) + kernel_half_width(1 / step) - self._end) / step
        if lacking <= 0:
            return sound
        self.underruns += 1
        self._read_position, self._was_late = None, True
        left = max(len(sound) - int(np.ceil(lacking)), 0)
        fall = _raised_cosine(min(_FADE_S * self._rate / step, left))[::-1]
        sound[left - len(fall) : left] *= fall
        sound[left:] = 0
        return sound

    def _drop_unheard(self) -> None:
        """Replace the samples that were not read yet by silence, with a fade."""
        if self._read_position is None:
            self._samples = self._samples[:0]
        else:
            self._fade_out(self._end - self._read_position)

    def _fade_out(self, newest_samples: float) -> None:
        """Fade the last ``newest_samples`` samples to silence, as far as they were not read yet."""
        unheard = (
            newest_samples if self._read_position is None else min(newest_samples, self._end - self._read_position)
        )
        tail = self._samples[len(self._samples) - min(max(int(unheard), 0), len(self._samples)) :]
        fall = _raised_cosine(min(_FADE_S * self._rate, len(tail)))[::-1]
        tail[: len(fall)] *= fall
        tail[len(fall) :] = 0

    def _separate_block(self, samples: Signal, gap_s: float) -> Signal:
        """Append ``gap_s`` of silence, or cut the overlap if it is negative, and return ``samples`` with a fade-in."""
        gap = round(gap_s * self._rate)
        self._fade_out(_FADE_S * self._rate)
        self._append(np.zeros(min(max(gap, 0), round(_BUFFER_S * self._rate)), np.float32))
        samples = samples[max(-gap, 0) :].copy()
        rise = _raised_cosine(min(_FADE_S * self._rate, len(samples)))
        samples[: len(rise)] *= rise
        return samples

    def _append(self, samples: Signal) -> None:
        self._end += len(samples)
        self._samples = np.concatenate([self._samples, samples])[-round(_BUFFER_S * self._rate) :]


def _raised_cosine(count: float) -> Signal:
    """A half cosine that rises from 0 to 1 in ``count`` samples."""
    count = max(int(count), 0)
    return np.asarray((1 - np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))) / 2, np.float32)
