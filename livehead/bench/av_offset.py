"""How far sound and picture are apart: the mouth's opening in the pictures against the loudness of the sound.

Both are curves over the same clock; the offset is the shift at which they agree best. No time stamp of the pipeline is
trusted: pictures are judged by their pixels, at the times that the far end sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from livehead.clock import NS
from livehead.errors import DeviceError
from livehead.evaluation.speech import lip_opening
from livehead.frames import AudioFrame, Image
from livehead.perception.face_mesh import FaceMeshTracker

Times = npt.NDArray[np.float64]
"""Seconds [N] on one clock."""

_STEP_S = 0.002
_MAX_OFFSET_S = 0.5
_RMS_WINDOW_S = 0.02
_MIN_CORRELATION = 0.4  # below it a mouth does not follow the sound


@dataclass(frozen=True, slots=True, eq=False)
class SampledCurve:
    """A curve: ``values`` [N] at ``times`` [N] s, which rise."""

    times: Times
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AvOffset:
    """``ms`` by which the sound is later than the picture (negative: earlier), and how well they then agree, 0 to 1."""

    ms: float
    correlation: float


def estimate_offset(mouth: SampledCurve, loudness: SampledCurve, max_offset_s: float = _MAX_OFFSET_S) -> AvOffset:
    """The offset of sound to picture, ``max_offset_s`` at most. Raises: DeviceError when the two are not alike."""
    start = max(mouth.times[0], loudness.times[0]) + max_offset_s
    end = min(mouth.times[-1], loudness.times[-1]) - max_offset_s
    if end - start < 2 * max_offset_s:
        raise DeviceError("picture and sound do not overlap for long enough", "measure for longer")
    grid = np.arange(start, end, _STEP_S)
    open_by = np.interp(grid, mouth.times, mouth.values)
    lags = np.arange(-max_offset_s, max_offset_s + _STEP_S / 2, _STEP_S)
    correlations = np.array(
        [_correlation(open_by, np.interp(grid + lag, loudness.times, loudness.values)) for lag in lags]
    )
    best = int(correlations.argmax())
    if not correlations[best] > _MIN_CORRELATION:
        raise DeviceError(
            f"the mouth does not follow the sound (correlation {correlations[best]:.2f})",
            "is the right device recorded?",
        )
    return AvOffset(round(float(lags[best]) * 1000, 1), round(float(correlations[best]), 3))


def measure_file_offset(path: Path) -> AvOffset:
    """The offset of sound to picture in a recording that has both. Raises: DeviceError."""
    with av.open(str(path)) as container:
        mouth = track_mouth_opening(
            (float(picture.time or 0), np.asarray(picture.to_ndarray(format="rgb24"), np.uint8))
            for picture in container.decode(video=0)
        )
    with av.open(str(path)) as container:
        blocks = [
            (float(block.time or 0), block.rate, block.to_ndarray().mean(axis=0)) for block in container.decode(audio=0)
        ]
    times = [start_s + np.arange(len(samples)) / rate for start_s, rate, samples in blocks]
    sound = SampledCurve(np.concatenate(times), np.concatenate([samples for _, _, samples in blocks]))
    return estimate_offset(mouth, to_loudness_curve(sound))


def track_mouth_opening(pictures: Iterable[tuple[float, Image]]) -> SampledCurve:
    """The inner lips' distance over the face's height in ``pictures``: times in s with uint8 [H, W, 3] RGB.

    Pictures without a face are left out. Raises: DeviceError when there is hardly one with a face.
    """
    times, meshes = [], []
    with FaceMeshTracker() as finder:
        for time, picture in pictures:
            for face in finder.detect(picture)[:1]:
                times.append(time)
                meshes.append(face.points3d()[0])
    if len(times) < 10:
        raise DeviceError("hardly any picture shows a face", "look at what was received")
    return SampledCurve(np.array(times), lip_opening(np.stack(meshes)).astype(np.float64))


def to_sound_curve(frames: Sequence[AudioFrame]) -> SampledCurve:
    """Received sound as a curve over the monotonic clock in s. Raises: DeviceError when nothing came."""
    if not frames:
        raise DeviceError("no sound was received", "is the right device recorded?")
    times = [frame.captured_ns / NS + np.arange(frame.samples.shape[1]) / frame.rate for frame in frames]
    return SampledCurve(np.concatenate(times), np.concatenate([frame.samples.mean(axis=0) for frame in frames]))


def to_loudness_curve(sound: SampledCurve) -> SampledCurve:
    """The loudness of ``sound``: the root mean square of 20 ms about each of the times, which are 2 ms apart."""
    grid = np.arange(sound.times[0], sound.times[-1], _STEP_S)
    place = np.searchsorted(sound.times, [grid - _RMS_WINDOW_S / 2, grid + _RMS_WINDOW_S / 2])
    power = np.concatenate([[0.0], np.cumsum(np.square(sound.values, dtype=np.float64))])
    first, last = place[0], np.maximum(place[1], place[0] + 1)
    last = np.minimum(last, len(sound.values))
    mean = (power[last] - power[np.minimum(first, last)]) / np.maximum(last - first, 1)
    return SampledCurve(grid, np.sqrt(np.maximum(mean, 0)))


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other) / max(float(np.linalg.norm(one)) * float(np.linalg.norm(other)), 1e-12)
