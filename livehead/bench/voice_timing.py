"""What the voice driver costs, on a sound that is as lively as speech."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from livehead.bench.timing import time_calls
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
    """Samples [N] at ``RATE`` that are loud and quiet, voiced and hissing as speech is, without any words."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * times)) / RATE
    voiced = sum(np.sin(k * pitch) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * times), 0, 1)
    hiss = rng.standard_normal(len(times)) * np.clip(-np.sin(2 * np.pi * 2.1 * times) - 0.6, 0, 1)
    phrases = np.sin(2 * np.pi * 0.15 * times) > -0.6
    return np.asarray((0.2 * voiced * syllables + 0.1 * hiss) * phrases, np.float32)


def slide_audio_window(sound: Samples, fps: float) -> Iterator[AudioFrame]:
    """The audio that a live driver is given ``fps`` times a second: the last second of ``sound`` [N] up to then."""
    for number in range(1, int(len(sound) / RATE * fps) + 1):
        end = round(number * RATE / fps)
        start = max(end - round(_WINDOW_S * RATE), 0)
        yield AudioFrame(sound[None, start:end], RATE, start, start * NS // RATE)


def measure_real_time_factor(driver: Driver[Keypoints], seconds: float, fps: float) -> dict[str, Json]:
    """Time a driver that is asked ``fps`` times a second for ``seconds`` of sound, after two seconds of warm-up.

    ``real_time_factor`` is the seconds of a core for one second of sound, ``estimate`` the ms of each call.
    """
    inputs = [
        DriverInputs(None, audio, audio.captured_ns)
        for audio in slide_audio_window(synthesize_babble(_WARM_UP_S + seconds), fps)
    ]
    warm_up = round(_WARM_UP_S * fps)
    time_calls(driver.estimate, inputs[:warm_up])
    before = time.process_time()
    times = time_calls(driver.estimate, inputs[warm_up:])
    busy = time.process_time() - before
    return {"real_time_factor": round(busy / seconds, 4), "estimate": summarize_ms(times)}
