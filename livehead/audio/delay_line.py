"""Sound held back by a delay that may change while it plays, without a click.

Small corrections (a slowly changing delay, the drift between two sound cards) play it up to half a per cent faster or
slower, which nobody hears, and are made at once in a pause; large ones cross-fade to the right place.
"""

from __future__ import annotations

import threading

import numpy as np

from livehead.audio.resampler import Signal, interpolate, kernel_half_width
from livehead.clock import NS
from livehead.frames import AudioFrame

_BUFFER_S = 3.0  # longer than any delay that makes sense in a call
_JITTER_S = 0.03  # a block further than this off its place has a gap before it
_MAX_SPEED_CHANGE = 0.005  # most that speed changes; 9 cents
_CORRECTION_S = 2.0  # a small error is worked off over about so long
_CROSS_FADE_ERROR_S = 0.05  # an error larger than this would take too long: it is cross-faded
_PAUSE_ERROR_S = 0.003  # in a pause it goes to the right place at once when it is further off than this
_SILENCE_PEAK = 0.003  # what counts as a pause: peaks below -50 dB
_FADE_S = 0.01
_DELAY_STEP_S = 0.01  # how much longer it is held each time that the sound came too late to be played in time
_MAX_DELAY_S = 1.0
_MARGIN_S, _MARGIN_WINDOW_S = (
    0.02,
    2.0,
)  # when it had more time to spare than this for so long, it is held less long again


class DelayLine:
    """``write`` blocks on one thread, ``read`` what is due on another. Mono."""

    def __init__(self) -> None:
        self.delay_s: float | None = None
        """From a sample's capture to its being heard; None: nothing is heard yet. May be set at any time."""
        self.underruns = 0
        """Times that the sound had not come when it was due."""
        self._lock = threading.Lock()
        self._rate = 0
        self._samples: Signal = np.zeros(0, np.float32)
        self._end = 0  # running number of the sample after the newest ...
        self._end_ns = 0  # ... and its time
        self._next_pts = 0  # of the capture
        self._read_position: float | None = None  # running number of the next sample to be heard
        self._was_late = False
        self._min_delay_s = 0.0  # what the sound itself needs to come in time
        self._min_margin_s = _MAX_DELAY_S  # least time to spare of the blocks read since ...
        self._margin_since_ns = 0  # ... this moment

    @property
    def effective_delay_s(self) -> float:
        """The delay in use: ``delay_s``, or more where the sound itself takes longer to come."""
        return max(self.delay_s or 0.0, self._min_delay_s)

    def write(self, frame: AudioFrame) -> None:
        """Add a block; its time says where it belongs. A ``pts`` that goes back drops what was not heard yet."""
        samples = frame.samples.mean(axis=0, dtype=np.float32)
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
        """``count`` samples at ``rate`` Hz, the first of which is heard at ``heard_ns``."""
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
            bend = float(np.clip(off_s / _CORRECTION_S, -_MAX_SPEED_CHANGE, _MAX_SPEED_CHANGE))
            sound = self._interpolate_block(count, step, self._read_position, bend)
            if abs(off_s) > _PAUSE_ERROR_S and np.abs(sound).max(initial=0) < _SILENCE_PEAK:
                return self._cross_fade(count, step, wanted, self._read_position)
            self._read_position += count * step * (1 + bend)
            self._min_margin_s = min(
                self._min_margin_s, (self._end - self._read_position - kernel_half_width(1 / step)) / self._rate
            )
            return self._fade_out_underrun(sound, step)

    def _lower_min_delay(self, heard_ns: int) -> None:
        """Hold the sound less long again when it has come early enough for a while."""
        if heard_ns - self._margin_since_ns < _MARGIN_WINDOW_S * NS:
            return
        if self._read_position is not None and self._min_margin_s > _MARGIN_S:
            self._min_delay_s = max(self._min_delay_s - (self._min_margin_s - _MARGIN_S), 0.0)
        self._margin_since_ns, self._min_margin_s = heard_ns, _MAX_DELAY_S

    def _interpolate_block(self, count: int, step: float, start: float, bend: float = 0.0) -> Signal:
        """``count`` samples from ``start`` on, ``step`` apart and by ``bend`` more."""
        first = self._end - len(self._samples)
        # The kernel of the unbent step serves: its slope is wider than any bend, and a new kernel costs milliseconds.
        return interpolate(self._samples, start - first + np.arange(count) * step * (1 + bend), 1 / step)

    def _fade_in(self, count: int, step: float, target: float) -> Signal:
        """Fade in, once what is wanted is there."""
        if target + count * step + kernel_half_width(1 / step) > self._end:
            self._was_late = True
            return np.zeros(count, np.float32)
        self._read_position = target + count * step
        sound = self._interpolate_block(count, step, target)
        rise = _raised_cosine(min(_FADE_S * self._rate / step, count))
        sound[: len(rise)] *= rise
        return sound

    def _cross_fade(self, count: int, step: float, target: float, start: float) -> Signal:
        """From where it is to where it should be, as a cross-fade within this block."""
        old = self._interpolate_block(count, step, start)
        fall = _raised_cosine(min(_FADE_S * self._rate / step, count))[::-1]
        old[: len(fall)] *= fall
        old[len(fall) :] = 0
        self._read_position = None
        return old + self._fade_in(count, step, target)

    def _fade_out_underrun(self, sound: Signal, step: float) -> Signal:
        """Fade out where the sound has not come in time."""
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
        """What was written and not read becomes silence, softly."""
        if self._read_position is None:
            self._samples = self._samples[:0]
        else:
            self._fade_out(self._end - self._read_position)

    def _fade_out(self, newest_samples: float) -> None:
        """Let the last ``newest`` samples, those not heard yet, fall to silence."""
        unheard = (
            newest_samples if self._read_position is None else min(newest_samples, self._end - self._read_position)
        )
        tail = self._samples[len(self._samples) - min(max(int(unheard), 0), len(self._samples)) :]
        fall = _raised_cosine(min(_FADE_S * self._rate, len(tail)))[::-1]
        tail[: len(fall)] *= fall
        tail[len(fall) :] = 0

    def _separate_block(self, samples: Signal, gap_s: float) -> Signal:
        """See that ``samples`` come after ``gap_s`` of silence, or without what overlaps, and begin softly."""
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
    """From 0 to 1 in ``count`` samples, a half cosine."""
    count = max(int(count), 0)
    return np.asarray((1 - np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))) / 2, np.float32)
