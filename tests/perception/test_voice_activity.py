"""Speech is told from other sound."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from livehead.frames import Samples
from livehead.perception.audio_blocks import read_audio_blocks
from livehead.perception.voice_activity import CHUNK_SAMPLES, SAMPLE_RATE, VoiceActivityDetector


def whole_chunks(sound: Samples) -> Samples:
    return np.ascontiguousarray(sound[: len(sound) // CHUNK_SAMPLES * CHUNK_SAMPLES], np.float32)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_voice_is_speech(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    subprocess.run(["espeak-ng", "-w", str(path), "Hello, how are you doing today, my old friend?"], check=True)
    sound = np.concatenate(list(read_audio_blocks(path, SAMPLE_RATE)), axis=1)[0]
    assert np.median(VoiceActivityDetector().speech_probabilities(whole_chunks(sound))) > 0.5


@pytest.mark.parametrize("kind", ["silence", "noise", "chord"])
def test_other_sound_is_not(kind: str) -> None:
    times = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    sound = {
        "silence": np.zeros(len(times)),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(len(times)),
        "chord": sum(0.1 * np.sin(2 * np.pi * hertz * times) for hertz in (262, 330, 392)),
    }[kind]
    assert VoiceActivityDetector().speech_probabilities(whole_chunks(np.asarray(sound, np.float32))).max() < 0.3


def test_it_remembers_until_it_is_reset() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * CHUNK_SAMPLES).astype(np.float32)
    judge = VoiceActivityDetector()
    first = judge.speech_probabilities(noise)
    assert np.abs(judge.speech_probabilities(noise) - first).max() > 1e-6
    judge.reset()
    np.testing.assert_array_equal(judge.speech_probabilities(noise), first)


def test_it_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    VoiceActivityDetector()
    assert torch.get_num_threads() == before
