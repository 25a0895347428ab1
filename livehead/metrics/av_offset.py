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
from livehead.frames import AudioFrame, Image
from livehead.metrics.speech import opening
from livehead.perception.face_mesh import FaceMesh

Times = npt.NDArray[np.float64]
"""Seconds [N] on one clock."""

_STEP_S = 0.002
_LONGEST_S = 0.5  # apart
_WINDOW_S = 0.02  # of the loudness
_CLEAR = 0.4  # correlation below which a mouth does not follow the sound


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """``values`` [N] at ``times`` [N] s, which rise."""

    times: Times
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offset:
    """``ms`` by which the sound is later than the picture (negative: earlier), and how well they then agree, 0 to 1."""

    ms: float
    correlation: float


def offset_between(mouth: Curve, loudness: Curve, longest_s: float = _LONGEST_S) -> Offset:
    """The offset of sound to picture, ``longest_s`` at most. Raises: DeviceError when the two are not alike."""
    start = max(mouth.times[0], loudness.times[0]) + longest_s
    end = min(mouth.times[-1], loudness.times[-1]) - longest_s
    if end - start < 2 * longest_s:
        raise DeviceError("picture and sound do not overlap for long enough", "measure for longer")
    grid = np.arange(start, end, _STEP_S)
    open_by = np.interp(grid, mouth.times, mouth.values)
    lags = np.arange(-longest_s, longest_s + _STEP_S / 2, _STEP_S)
    alike = np.array([_correlation(open_by, np.interp(grid + lag, loudness.times, loudness.values)) for lag in lags])
    best = int(alike.argmax())
    if not alike[best] > _CLEAR:
        raise DeviceError(
            f"the mouth does not follow the sound (correlation {alike[best]:.2f})", "is the right device recorded?"
        )
    return Offset(round(float(lags[best]) * 1000, 1), round(float(alike[best]), 3))


def offset_in_file(path: Path) -> Offset:
    """Of a recording with picture and sound. Raises: DeviceError."""
    with av.open(str(path)) as container:
        mouth = mouth_opening(
            (float(picture.time or 0), np.asarray(picture.to_ndarray(format="rgb24"), np.uint8))
            for picture in container.decode(video=0)
        )
    with av.open(str(path)) as container:
        blocks = [
            (float(block.time or 0), block.rate, block.to_ndarray().mean(axis=0)) for block in container.decode(audio=0)
        ]
    times = [start_s + np.arange(len(samples)) / rate for start_s, rate, samples in blocks]
    sound = Curve(np.concatenate(times), np.concatenate([samples for _, _, samples in blocks]))
    return offset_between(mouth, loudness(sound))


def mouth_opening(pictures: Iterable[tuple[float, Image]]) -> Curve:
    """The distance of the inner lips over the face's height, in pictures uint8 [H, W, 3] RGB with their times in s.

    Pictures without a face are left out. Raises: DeviceError when there is hardly one with a face.
    """
    times, meshes = [], []
    with FaceMesh() as finder:
        for time, picture in pictures:
            for face in finder.detect(picture)[:1]:
                times.append(time)
                meshes.append(face.points3d()[0])
    if len(times) < 10:
        raise DeviceError("hardly any picture shows a face", "look at what was received")
    return Curve(np.array(times), opening(np.stack(meshes)).astype(np.float64))


def sound_curve(frames: Sequence[AudioFrame]) -> Curve:
    """Received sound on the monotonic clock, s. Raises: DeviceError when nothing came."""
    if not frames:
        raise DeviceError("no sound was received", "is the right device recorded?")
    times = [frame.captured_ns / NS + np.arange(frame.samples.shape[1]) / frame.rate for frame in frames]
    return Curve(np.concatenate(times), np.concatenate([frame.samples.mean(axis=0) for frame in frames]))


def loudness(sound: Curve) -> Curve:
    """Root mean square of 20 ms about each of the times, which are 2 ms apart."""
    grid = np.arange(sound.times[0], sound.times[-1], _STEP_S)
    place = np.searchsorted(sound.times, [grid - _WINDOW_S / 2, grid + _WINDOW_S / 2])
    power = np.concatenate([[0.0], np.cumsum(np.square(sound.values, dtype=np.float64))])
    first, last = place[0], np.maximum(place[1], place[0] + 1)
    last = np.minimum(last, len(sound.values))
    mean = (power[last] - power[np.minimum(first, last)]) / np.maximum(last - first, 1)
    return Curve(grid, np.sqrt(np.maximum(mean, 0)))


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other) / max(float(np.linalg.norm(one)) * float(np.linalg.norm(other)), 1e-12)
