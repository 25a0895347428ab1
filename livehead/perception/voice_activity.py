"""Whether somebody speaks: the detector of Silero (MIT licence, its weights are in its package)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from livehead.frames import Samples
from livehead.threads import keep_network_threads

SAMPLE_RATE = 16_000
CHUNK_SAMPLES = 512
"""Samples that are judged at a time: 32 ms."""


class VoiceActivityDetector:
    """Judges one stream of sound, chunk by chunk; what it heard before counts."""

    def __init__(self) -> None:
        self._detector = _load_silero()

    def reset(self) -> None:
        """Another stream begins."""
        self._detector.reset_states()

    @torch.inference_mode()
    def speech_probabilities(self, samples: Samples) -> npt.NDArray[np.float32]:
        """[N] samples at ``RATE``, N a multiple of ``CHUNK_SAMPLES``, to the probability of speech in each chunk."""
        chunks = torch.from_numpy(samples).reshape(-1, 1, CHUNK_SAMPLES)
        found = [float(self._detector(chunk, SAMPLE_RATE)) for chunk in chunks]
        return np.array(found, np.float32)


def _load_silero() -> Any:
    with keep_network_threads():  # the package gives torch one thread for the whole process when it is imported
        from silero_vad import load_silero_vad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript: the package has its weights in no other form
        return load_silero_vad()
