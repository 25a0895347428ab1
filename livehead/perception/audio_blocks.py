"""The sound of an audio or video file as it is decoded, so that an hour of it needs no more memory than a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from livehead.errors import CaptureError
from livehead.frames import Samples
from livehead.perception.av_files import decode_frames, no_sound_error, open_media

_SILENCE_SAMPLES = 16_000  # samples of leading silence that are made at a time


def read_audio_blocks(path: str | Path, rate: int) -> Iterator[Samples]:
    """Mono float32 [1, N] at ``rate`` Hz, one after the other; sample 0 is at the file's time 0, its first picture's.

    Sound that starts late (its first time stamp is after 0) is led by that much silence.
    Raises: CaptureError when there is none, or it cannot be read; at the first block.
    """
    path = Path(path)
    with open_media(path) as container:
        if not container.streams.audio:
            raise no_sound_error(path)
        parts = _resample_frames(decode_frames(container, container.streams.audio[0]), rate)
        first = next(parts, None)
        if first is None:
            raise CaptureError(f"the sound of {path} cannot be read", "convert it to WAV first", subject=str(path))
        start_s, samples = first
        lead = round((start_s - _video_start_s(container)) * rate)
        for done in range(0, lead, _SILENCE_SAMPLES):
            yield np.zeros((1, min(_SILENCE_SAMPLES, lead - done)), np.float32)
        surplus = max(-lead, 0)
        while True:
            if samples.shape[1] > surplus:
                yield samples[:, surplus:]
            surplus = max(surplus - samples.shape[1], 0)
            following = next(parts, None)
            if following is None:
                return
            _, samples = following


def _resample_frames(frames: Iterator[Any], rate: int) -> Iterator[tuple[float, Samples]]:
    """The time of each decoded frame and its samples at ``rate``; the resampler's rest comes last."""
    resampler, kind, seconds = None, None, 0.0
    for frame in frames:
        if frame is None:
            continue
        seconds = seconds if frame.time is None else frame.time
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or found != kind:  # a stream may change in its middle, and a resampler must not
            if resampler is not None:
                yield from ((seconds, _mix_to_mono(part)) for part in resampler.resample(None))
            resampler, kind = av.AudioResampler(format="fltp", rate=rate), found
        yield from ((seconds, _mix_to_mono(part)) for part in resampler.resample(frame))
    if resampler is not None:
        yield from ((seconds, _mix_to_mono(part)) for part in resampler.resample(None))


def _mix_to_mono(part: Any) -> Samples:
    """The mean of the channels; FFmpeg's own mixing would make the sound of both louder than full scale."""
    mean: Samples = np.ascontiguousarray(part.to_ndarray().mean(axis=0, keepdims=True), np.float32)
    return np.nan_to_num(mean, nan=0.0, posinf=1.0, neginf=-1.0)


def _video_start_s(container: Any) -> float:
    """When the picture begins: the file's time 0, which the sound must follow."""
    if not container.streams.video:
        return 0.0
    stream = container.streams.video[0]
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0
