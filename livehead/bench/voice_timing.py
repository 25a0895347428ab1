"""What the voice driver costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from livehead.clock import NS
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import Driver, DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.reporting.report import Json
from livehead.stats import summarize_ms

RATE = 16_000
_WINDOW_S = 1.0  # sound that a live driver is shown, new or not
_WARM_UP_S = 2.0


def synthesize_babble(seconds: float, seed: int = 0) -> Samples:
    """[N] samples at ``RATE`` that are loud and quiet, voiced and hissing as speech is; nobody says anything."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * times)) / RATE
    voiced = sum(np.sin(k * pitch) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * times), 0, 1)
    hiss = rng.standard_normal(len(times)) * np.clip(-np.sin(2 * np.pi * 2.1 * times) - 0.6, 0, 1)
    phrases = np.sin(2 * np.pi * 0.15 * times) > -0.6
    return np.asarray((0.2 * voiced * syllables + 0.1 * hiss) * phrases, np.float32)


def slide_audio_window(sound: Samples, fps: float) -> Iterator[AudioFrame]:
    """What a live driver is shown ``fps`` times a second: the last second of ``sound`` [N] up to then."""
    for number in range(1, int(len(sound) / RATE * fps) + 1):
        end = round(number * RATE / fps)
        start = max(end - round(_WINDOW_S * RATE), 0)
        yield AudioFrame(sound[None, start:end], RATE, start, start * NS // RATE)


def measure_real_time_factor(driver: Driver[Keypoints], seconds: float, fps: float) -> dict[str, Json]:
    """``real_time_factor``: seconds of a core for one of sound; ``estimate``: ms of each call, ``fps`` a second."""
    for audio in slide_audio_window(synthesize_babble(_WARM_UP_S), fps):
        driver.estimate(DriverInputs(None, audio, audio.captured_ns))
    took: list[float] = []
    before = time.process_time()
    for audio in slide_audio_window(synthesize_babble(seconds), fps):
        start = time.perf_counter()
        driver.estimate(DriverInputs(None, audio, audio.captured_ns))
        took.append(1000 * (time.perf_counter() - start))
    busy = time.process_time() - before
    return {"real_time_factor": round(busy / seconds, 4), "estimate": summarize_ms(took)}
