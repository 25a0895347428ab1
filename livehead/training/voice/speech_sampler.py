"""Training samples of the voice model: excerpts of clips, varied as rooms, microphones and people differ.

A batch depends on its seed alone, so that a resumed run hears exactly what an unbroken one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from livehead.models.voice.logmel import CONTEXT_SAMPLES, SAMPLE_RATE, LogMelSpectrogram, mel_filters
from livehead.models.voice.network import LOOK_AHEAD_STEPS, STEP_S
from livehead.models.voice.stream import STEP_SAMPLES
from livehead.motion.keypoints import Array
from livehead.training.voice.recipe import SoundAugmentation
from livehead.training.voice.speech_clips import SpeechClip

_TRACT_FILTER_BANKS = 25  # filter banks between the shortest and the longest vocal tract
_LENGTH_EXPONENT = 0.6  # 0 draws all persons as often, 1 all seconds
_MAX_LEAD_S = 0.5  # of silence at an excerpt's beginning or end, beyond its clip
_FADE_S = 0.08  # in which a mouth closes when its sound is taken away
_MASKED_SHARE = 0.5  # of samples that lack some bands, and some moments ("SpecAugment", Park et al., 2019)
_MAX_MASKED_BANDS, _MAX_MASKED_FRAMES = 8, 12

_FloatArray = npt.NDArray[np.float64]


class SpeechBatch(NamedTuple):
    """Log-mel ``frames`` [B, BANDS, STEP * T], the ``target`` [B, K, T], and a ``mask`` [B, T], 1 where it is known."""

    frames: Tensor
    target: Tensor
    mask: Tensor


class SpeechSampler:
    """Draws excerpts of ``seconds`` from clips; ``targets`` are [N, K] by the clip's name, a row a step."""

    def __init__(
        self, clips: Sequence[SpeechClip], targets: Mapping[str, Array], seconds: float, augmentation: SoundAugmentation
    ) -> None:
        self._clips, self._targets, self._augmentation = list(clips), targets, augmentation
        self._steps = round(seconds / STEP_S)
        self._mel = LogMelSpectrogram()
        self._filters = torch.stack(
            [mel_filters(float(s)) for s in np.linspace(*augmentation.tract, _TRACT_FILTER_BANKS)]
        )
        self._clip_weights = _clip_probabilities(self._clips)

    def sample_batch(self, size: int, seed: tuple[int, ...]) -> SpeechBatch:
        """Draw ``size`` excerpts, the same ones for the same ``seed``."""
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(self._clips), size, p=self._clip_weights)
        samples, targets, masks = zip(*(self._draw_excerpt(self._clips[index], rng) for index in drawn), strict=True)
        tracts = self._filters[torch.from_numpy(rng.integers(_TRACT_FILTER_BANKS, size=size))]
        frames = self._mel(torch.from_numpy(np.stack(samples)), tracts)
        for each in frames:
            _mask_bands_and_frames(each, rng)
        target = torch.from_numpy(np.stack(targets)).transpose(1, 2).contiguous()
        return SpeechBatch(frames, target, torch.from_numpy(np.stack(masks)))

    def _draw_excerpt(self, clip: SpeechClip, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Samples, target [T, K] and mask [T] of a random excerpt, which may begin or end in silence."""
        targets = self._targets[clip.name]
        speed, lead = rng.uniform(*self._augmentation.speed), round(_MAX_LEAD_S / STEP_S)
        start = int(rng.integers(-lead, max(1, len(targets) - int(self._steps * speed) + lead)))
        at = start + np.arange(self._steps) * speed
        target = np.stack([np.interp(at, np.arange(len(targets)), column) for column in targets.T], axis=1)
        mask = ((at >= 0) & (at <= len(targets) - 1)).astype(np.float32)
        # The step of a target is complete LOOK_AHEAD steps after the moment it belongs to.
        first = (start + (LOOK_AHEAD_STEPS - 1) * speed) * STEP_SAMPLES - CONTEXT_SAMPLES * speed
        where = first + np.arange(CONTEXT_SAMPLES + self._steps * STEP_SAMPLES) * speed
        samples = np.interp(where, np.arange(len(clip.sound)), clip.sound, left=0, right=0)
        if rng.random() < self._augmentation.silence_share:
            target, mask = _silence_tail(samples, target, mask, rng)
        return self._augment_sound(samples, rng).astype(np.float32), target.astype(np.float32), mask

    def _augment_sound(self, samples: _FloatArray, rng: np.random.Generator) -> _FloatArray:
        """Vary gain, room, tone and noise of ``samples``, at random."""
        sound = self._augmentation
        samples = samples * 10 ** (rng.uniform(*sound.gain_db) / 20)
        if rng.random() < sound.reverberation_share:
            samples = _add_reverberation(samples, rng)
        if rng.random() < sound.tilt_share:
            samples[1:] -= rng.uniform(-0.6, 0.6) * samples[:-1]
        if rng.random() < sound.noise_share:
            power = np.sqrt(np.square(samples).mean() + 1e-9)
            samples = samples + _random_noise(len(samples), rng) * power * 10 ** (rng.uniform(*sound.noise_db) / 20)
        return samples.clip(-1, 1)


def _clip_probabilities(clips: Sequence[SpeechClip]) -> _FloatArray:
    """The probability of each clip: by length among one person's, and between evenly and by length among persons."""
    lengths = np.array([len(clip.sound) for clip in clips], float)
    persons = np.array([clip.person for clip in clips])
    totals = np.array([lengths[persons == person].sum() for person in persons])
    chances = lengths / totals * totals**_LENGTH_EXPONENT
    return np.asarray(chances / chances.sum(), np.float64)


def _silence_tail(
    samples: _FloatArray, target: _FloatArray, mask: Array, rng: np.random.Generator
) -> tuple[_FloatArray, Array]:
    """Silence ``samples`` in place from a random step on, and close the mouth; returns the new target and mask."""
    since = int(rng.integers(0, len(target)))
    samples[CONTEXT_SAMPLES + max(since - LOOK_AHEAD_STEPS, 0) * STEP_SAMPLES :] = 0
    left = np.clip(1 - (np.arange(len(target)) - since) * STEP_S / _FADE_S, 0, 1)
    return target * left[:, None], np.where(left < 1, 1, mask).astype(np.float32)


def _add_reverberation(samples: _FloatArray, rng: np.random.Generator) -> _FloatArray:
    """Add the reverberation of a room: the direct sound, then noise that dies away."""
    length = int(rng.uniform(0.05, 0.35) * SAMPLE_RATE)
    tail = rng.standard_normal(length) * np.exp(-np.arange(length) / SAMPLE_RATE * rng.uniform(10, 40))
    tail *= rng.uniform(0.1, 0.6) / np.sqrt(np.square(tail).sum())
    tail[0] += 1
    size = 1 << (len(samples) + length - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]


def _random_noise(length: int, rng: np.random.Generator) -> _FloatArray:
    """White or rumbling noise of power 1."""
    noise = rng.standard_normal(length)
    if rng.random() < 0.5:
        noise = np.cumsum(noise)
        noise -= np.convolve(noise, np.full(200, 1 / 200), "same")
    return np.asarray(noise / noise.std(), np.float64)


def _mask_bands_and_frames(frames: Tensor, rng: np.random.Generator) -> None:
    """Replace some neighbouring bands and some frames of [BANDS, T] by its mean, in place."""
    for axis, most in ((0, _MAX_MASKED_BANDS), (1, _MAX_MASKED_FRAMES)):
        if rng.random() < _MASKED_SHARE:
            width = int(rng.integers(1, most + 1))
            start = int(rng.integers(0, max(frames.shape[axis] - width, 1)))
            frames.narrow(axis, start, min(width, frames.shape[axis])).fill_(float(frames.mean()))
