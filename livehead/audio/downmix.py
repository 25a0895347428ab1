"""Mixes sound of several channels down to the one that a driver listens to, without losing the voice.

The plain mean of the channels is silent where they cancel (a plug wired the wrong way round), six decibels too quiet
where only one of two was recorded, and fifteen where a film keeps its voices in the centre of six. So several mixes are
compared by the power that each would have, which the covariance of the channels tells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livehead.audio.resampler import Signal
from livehead.frames import Samples

_Weights = npt.NDArray[np.float64]

_MEMORY_S = 0.2  # the covariance is that of about so many seconds
_QUIET_SHARE = 0.01  # a block below this share of the recent power is a pause, and tells nothing of the channels
_POWER_MEMORY_S = 5.0
_FADE_S = 0.02

# Power of a mix in relation to the loudest channel (dB) from which on it is taken, and below which it is left again.
# The mean of two unlike channels lies at -3 dB, of one channel and silence at -6, of channels that cancel far below.
_WHOLE_MIX_DB = (-4.0, -5.2)
_CENTRE_DB = (-14.0, -18.0)  # in a film music and effects on the sides may be louder than the voice
_SINGLE_DB = (-np.inf, -3.0)

_FRONT_LEFT, _FRONT_RIGHT, _CENTRE, _LOW_FREQUENCY = 0, 1, 2, 3
_CENTRE_COUNTS = (3, 5, 6, 7, 8)  # channels of the layouts 3.0, 5.0, 5.1, 6.1 and 7.1, whose third one is the centre
_LOW_FREQUENCY_COUNTS = (6, 7, 8)

_HALF = float(np.sqrt(0.5))
_STEREO_WEIGHTS = {
    3: np.array([[1, 0, _HALF], [0, 1, _HALF]], np.float32),
    4: np.array([[1, 0, _HALF, _HALF], [0, 1, _HALF, _HALF]], np.float32),
    5: np.array([[1, 0, _HALF, _HALF, 0], [0, 1, _HALF, 0, _HALF]], np.float32),
    6: np.array([[1, 0, _HALF, 0, _HALF, 0], [0, 1, _HALF, 0, 0, _HALF]], np.float32),
}


class SpeechDownmixer:
    """Mixes a stream of blocks [C, N] down to mono [N]; of one channel it changes nothing.

    Two channels that agree become their mean. Channels that cancel, or of which only one holds sound, become the
    loudest of them. With surround sound the centre leads where it holds sound, at its full level. The choice follows
    the sound within a block, and changes with a cross-fade of 20 ms.
    """

    def __init__(self) -> None:
        self._covariance: _Weights = np.zeros((0, 0))
        self._recent_power = 0.0
        self._mixes: list[tuple[_Weights, tuple[float, float]]] = []
        self._chosen = 0
        self._weights: _Weights | None = None  # those in use; None before the first block that is not silent

    def __call__(self, samples: Samples, rate: int) -> Signal:
        """Mix the stream's next block, of ``rate`` Hz, down."""
        samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        channels, count = samples.shape
        if channels == 1 or not count:
            return samples[0] if channels else np.zeros(count, np.float32)
        if len(self._covariance) != channels:
            self._covariance, self._recent_power = np.zeros((channels, channels)), 0.0
            self._mixes, self._chosen, self._weights = _list_mixes(channels), 0, None
        if self._observe(samples, rate):
            self._choose()
        target = self._mixes[self._chosen][0]
        mixed = np.asarray(target @ samples, np.float32)
        if self._weights is not None and self._weights is not target:
            fade = min(round(_FADE_S * rate), count)
            rise = (np.arange(fade) + 0.5) / fade
            mixed[:fade] = mixed[:fade] * rise + (self._weights @ samples[:, :fade]) * (1 - rise)
        if self._weights is not None or self._recent_power > 0:
            self._weights = target
        return mixed

    def _observe(self, samples: Samples, rate: int) -> bool:
        """Add the block to the covariance unless it is a pause; tell whether it was added."""
        count = samples.shape[1]
        centred = samples - samples.mean(axis=1, keepdims=True, dtype=np.float64)
        if len(samples) in _LOW_FREQUENCY_COUNTS:
            centred[_LOW_FREQUENCY] = 0
        covariance = centred @ centred.T / count
        power = float(covariance.diagonal().max())
        self._recent_power = max(power, self._recent_power * np.exp(-count / (_POWER_MEMORY_S * rate)))
        if power <= _QUIET_SHARE * self._recent_power:
            return False
        kept = np.exp(-count / (_MEMORY_S * rate))
        self._covariance = kept * self._covariance + (1 - kept) * covariance
        return True

    def _choose(self) -> None:
        """Stay with the present mix while it is loud enough, else take the first that is."""
        loudest = float(self._covariance.diagonal().max())
        ratios = [
            10 * np.log10(max(float(mix @ self._covariance @ mix), 1e-20) / max(loudest, 1e-20))
            for mix, _ in self._mixes
        ]
        first_single = len(self._mixes) - len(self._covariance)
        preferred = first_single + int(np.argmax(ratios[first_single:]))
        for number in reversed(range(first_single)):
            if ratios[number] >= self._mixes[number][1][0]:
                preferred = number
        is_better = preferred < min(self._chosen, first_single)
        if is_better or ratios[self._chosen] < self._mixes[self._chosen][1][1]:
            self._chosen = preferred


def _list_mixes(channels: int) -> list[tuple[_Weights, tuple[float, float]]]:
    """The mixes in the order of preference with their thresholds; the last ``channels`` are the single channels."""
    alone = np.eye(channels)
    mixes: list[tuple[_Weights, tuple[float, float]]] = []
    if channels in _CENTRE_COUNTS:
        mixes.append((alone[_CENTRE], _CENTRE_DB))
    mixes.append(((alone[_FRONT_LEFT] + alone[_FRONT_RIGHT]) / 2, _WHOLE_MIX_DB))
    return [*mixes, *((weights, _SINGLE_DB) for weights in alone)]


def fit_channels(samples: Samples, rate: int, channels: int, mixer: SpeechDownmixer) -> Samples:
    """The block [C, N] of ``rate`` Hz in ``channels`` channels, contiguous: as it is, mixed down, or mono repeated.

    Surround sound becomes stereo for listeners: the centre and the back at -3 dB on either side (ITU-R BS.775).
    """
    if samples.shape[0] == channels:
        return np.ascontiguousarray(samples)
    if channels == 2 and samples.shape[0] in _STEREO_WEIGHTS:
        return np.clip(_STEREO_WEIGHTS[samples.shape[0]] @ samples, -1, 1)
    return np.ascontiguousarray(np.broadcast_to(mixer(samples, rate), (channels, samples.shape[1])))
