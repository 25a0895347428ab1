"""The sound of an audio or video file as it is decoded, so that an hour of it needs no more memory than a second."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from livehead.audio.downmix import SpeechDownmixer
from livehead.codecs.muxer import AUDIO_LAYOUTS
from livehead.errors import CaptureError
from livehead.frames import Samples
from livehead.perception.av_files import count_noun, decode_frames, no_sound_error, open_media

log = logging.getLogger(__name__)

_CHANNEL_COUNTS = {layout: count for count, layout in AUDIO_LAYOUTS.items()}
_FOLDED_COUNTS = (7, 8)  # channels of the layouts 6.1 and 7.1, of which 5.1 keeps all that is heard
_SILENCE_SAMPLES = 16_000  # samples of silence that are made at a time
_MAX_JITTER_S = 0.04  # a time stamp that is further ahead has a gap before it
_MIN_GAP_S = 0.001  # after a damaged piece
_LONGEST_GAP_S = 600.0  # a longer one is no gap, but a clock that was set anew


def read_audio_blocks(path: str | Path, rate: int) -> Iterator[Samples]:
    """The sound of a file for a driver: mono float32 [1, N] at ``rate`` Hz, mixed down without losing the voice.

    Times and errors are those of ``read_channel_blocks``.
    """
    mixer = SpeechDownmixer()
    for samples in read_channel_blocks(path, rate):
        yield mixer(samples, rate)[None]


def read_channel_blocks(path: str | Path, rate: int, *, tell_damage: bool = True) -> Iterator[Samples]:
    """The sound of a file for a recording: float32 [C, N] at ``rate`` Hz, with the file's channels and loudness.

    Sample 0 is at the file's time 0, its first picture's. Sound that starts late (its first time stamp is after 0) is
    led by that much silence, and silence stands for what is damaged. ``tell_damage``: log at the end how much that was.
    Channels are those of one of ``AUDIO_LAYOUTS``: more than six become 5.1, and what has no such layout stereo.
    Raises: CaptureError when there is none, or it cannot be read; at the first block.
    """
    path = Path(path)
    with open_media(path) as container:
        if not container.streams.audio:
            raise no_sound_error(path)
        frames = _IntactFrames(decode_frames(container, container.streams.audio[0]))
        try:
            yield from _start_at_zero(_SoundTimeline(rate).place(frames), _video_start_s(container), rate, path)
        finally:
            if frames.damaged and tell_damage:
                log.warning("%s: %s skipped", path, count_noun(frames.damaged, "damaged piece of sound"))


def count_channels(path: Path) -> int:
    """How many channels ``read_channel_blocks`` will give; 1 where there is no sound. Raises: CaptureError."""
    with open_media(path) as container:
        streams = container.streams.audio
        layout = _recording_layout(streams[0].layout) if streams else AUDIO_LAYOUTS[1]
    return _CHANNEL_COUNTS[layout]


class _IntactFrames:
    """Frames of PyAV's without the damaged ones, which are counted in ``damaged``."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self.damaged = 0
        self.after_damage = False
        """Whether the newest frame follows a damaged one."""
        self._frames = frames

    def __iter__(self) -> Iterator[Any]:
        for frame in self._frames:
            if frame is None or frame.is_corrupt:
                self.damaged += 1
                self.after_damage = True
                continue
            yield frame
            self.after_damage = False


class _SoundTimeline:
    """Resamples decoded frames to ``rate`` Hz in the channels of the first, each at the place that its time gives."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._layout = ""
        self._kind: tuple[str, str, int] | None = None
        self._resampler: Any = None
        self._end_s: float | None = None  # the time after the last sample

    def place(self, frames: _IntactFrames) -> Iterator[tuple[float, Samples]]:
        """The time of each decoded frame with its samples [C, N]; the resampler's rest comes last."""
        seconds = 0.0
        for frame in frames:
            seconds = frame.time if frame.time is not None else self._end_s or 0.0
            gap_s = 0.0 if self._end_s is None else seconds - self._end_s
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            self._layout = self._layout or _recording_layout(frame.layout)
            has_gap = (_MIN_GAP_S if frames.after_damage else _MAX_JITTER_S) < gap_s < _LONGEST_GAP_S
            if has_gap or kind != self._kind:  # a stream may change in its middle, and a resampler must not
                yield from self._flush(seconds)
                self._kind = kind
                self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
            if has_gap:
                yield from ((seconds, silence) for silence in self._make_silence(gap_s))
            if self._end_s is None or not -_LONGEST_GAP_S < gap_s < _LONGEST_GAP_S or has_gap:
                self._end_s = seconds
            self._end_s += frame.samples / frame.sample_rate
            yield from ((seconds, _to_samples(part)) for part in self._resampler.resample(frame))
        yield from self._flush(seconds)

    def _flush(self, seconds: float) -> Iterator[tuple[float, Samples]]:
        if self._resampler is not None:
            yield from ((seconds, _to_samples(part)) for part in self._resampler.resample(None))

    def _make_silence(self, seconds: float) -> Iterator[Samples]:
        return _make_silence(seconds, self._rate, _CHANNEL_COUNTS[self._layout])


def _recording_layout(layout: Any) -> str:
    """Which of ``AUDIO_LAYOUTS`` a recording of sound of PyAV's ``layout`` has."""
    name, count = layout.name.removesuffix("(side)"), layout.nb_channels
    if name in _CHANNEL_COUNTS:
        return str(name)
    if name.endswith("channels"):  # the file does not say which
        return AUDIO_LAYOUTS.get(count, "stereo")
    return "5.1" if count in _FOLDED_COUNTS else "stereo"


def _start_at_zero(parts: Iterator[tuple[float, Samples]], start_s: float, rate: int, path: Path) -> Iterator[Samples]:
    """The samples from ``start_s`` on: led by silence where they begin later, cut where they begin before."""
    first = next(parts, None)
    if first is None:
        raise CaptureError(f"the sound of {path} cannot be read", "convert it to WAV first", subject=str(path))
    seconds, samples = first
    yield from _make_silence(seconds - start_s, rate, len(samples))
    surplus = max(-round((seconds - start_s) * rate), 0)
    while True:
        if samples.shape[1] > surplus:
            yield samples[:, surplus:]
        surplus = max(surplus - samples.shape[1], 0)
        following = next(parts, None)
        if following is None:
            return
        _, samples = following


def _make_silence(seconds: float, rate: int, channels: int) -> Iterator[Samples]:
    count = round(seconds * rate)
    for done in range(0, count, _SILENCE_SAMPLES):
        yield np.zeros((channels, min(_SILENCE_SAMPLES, count - done)), np.float32)


def _to_samples(part: Any) -> Samples:
    """A frame of PyAV's, planar float, as finite float32 [C, N]."""
    samples: Samples = np.asarray(part.to_ndarray(), np.float32)
    return np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)


def _video_start_s(container: Any) -> float:
    """When the picture begins: the file's time 0, which the sound must follow."""
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0
