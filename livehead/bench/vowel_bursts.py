"""The test signal of the A/V offset: a vowel in bursts of uneven length, for which any voice driver opens a mouth.

Additive synthesis: harmonics of a gliding pitch, weighted by the resonances of the vowel in "father" (Peterson and
Barney 1952, men) and by the source's fall of 12 dB an octave, which the lips' radiation halves.
"""

from __future__ import annotations

import random
import wave
from pathlib import Path

import numpy as np

from livehead.audio.resampler import Signal

RATE = 48_000

_PITCH_HZ = 125.0
_GLIDE = 0.15  # rise and fall of the pitch over a burst
_FORMANTS = ((730.0, 90.0), (1090.0, 110.0), (2440.0, 160.0))  # Hz, and their widths
_BURST_S, _PAUSE_S = (0.18, 0.45), (0.35, 0.75)
_FADE_S = 0.015
_PEAK = 0.6


def synthesize_vowel_bursts(seconds: float, seed: int = 0) -> Signal:
    """Bursts and pauses, ``seconds`` long, with silence at both ends: float32 [N] at ``RATE``."""
    rng = random.Random(seed)
    sound = np.zeros(round(seconds * RATE), np.float32)
    at_s = rng.uniform(*_PAUSE_S)
    while at_s + _BURST_S[1] + _PAUSE_S[0] < seconds:
        length_s = rng.uniform(*_BURST_S)
        burst = _synthesize_vowel(length_s, _PITCH_HZ * rng.uniform(0.85, 1.2))
        start = round(at_s * RATE)
        sound[start : start + len(burst)] = burst
        at_s += length_s + rng.uniform(*_PAUSE_S)
    return sound


def write_wav(path: Path, sound: Signal, rate: int = RATE) -> None:
    """Write ``sound`` (float32 [N] in [-1, 1]) as a 16-bit mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def _synthesize_vowel(seconds: float, pitch_hz: float) -> Signal:
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = pitch_hz * (1 + _GLIDE * np.sin(np.pi * t / seconds))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(len(t))
    for number in range(1, int(5000 / pitch.max())):
        hz = number * pitch_hz
        weight = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in _FORMANTS) + 0.02
        sound += weight / number * np.sin(number * phase)
    edge = np.minimum(1, np.minimum(t, seconds - t) / _FADE_S)
    return np.asarray(_PEAK * sound / np.abs(sound).max() * edge, np.float32)
