"""From a stream of sound to motion; in which pieces the sound arrives makes no difference to the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from livehead.models.voice.logmel import CONTEXT_SAMPLES, HOP_SAMPLES, LogMelSpectrogram
from livehead.models.voice.network import FRAMES_PER_STEP, LOOK_AHEAD_STEPS, STEP_S, VoiceNetwork

_FloatArray = npt.NDArray[np.float32]

STEP_SAMPLES = FRAMES_PER_STEP * HOP_SAMPLES
"""Samples of one step: 20 ms."""

_SILENCE_RMS = 10 ** (-50 / 20)  # root mean square below which a step counts as silence
_SPEECH_THRESHOLD = 0.3  # least probability that counts as speech
_NOISE_GRACE_S, _NOISE_FADE_S = 0.35, 0.35  # how long noise still moves the mouth, and how long that fades
_GATE_ATTACK_S, _GATE_RELEASE_S = 0.04, 0.08  # at least, from fully shut to fully open and back
_WARM_UP_STEPS = 75  # of silence, after which the state depends on nothing before


class SpeechDetector(Protocol):
    """Holds what ``VoiceStream`` needs of a voice activity detector (``perception.voice_activity``)."""

    def reset(self) -> None: ...

    def speech_probabilities(self, samples: _FloatArray) -> _FloatArray: ...


@dataclass(frozen=True, slots=True, eq=False)
class VoiceMotion:
    """Motion of consecutive steps: ``coefficients`` [T, K] of the face's basis, beginning at ``first_step``.

    Step ``n`` is the moment at which sample ``n * STEP_SAMPLES`` of the stream is heard.
    """

    first_step: int
    coefficients: _FloatArray


class VoiceStream:
    """Turns one stream of sound at 16 kHz into motion.

    ``detector`` (a new one for each stream, None for no gate) closes the mouth while nobody speaks; ``chunk`` is the
    number of samples that it judges at a time.
    """

    def __init__(self, network: VoiceNetwork, detector: SpeechDetector | None = None, chunk: int = 512) -> None:
        self._network = network.eval()
        self._mel = LogMelSpectrogram()
        self._detector = detector
        self._chunk = chunk
        with torch.inference_mode():
            silence = self._mel(torch.zeros(1, CONTEXT_SAMPLES + _WARM_UP_STEPS * STEP_SAMPLES))
            _, self._silent_state = network(silence, network.initial_state())
        self.reset()

    def reset(self) -> None:
        """Begin another stream, as if after silence."""
        self._state = self._silent_state
        self._buffered: _FloatArray = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._undetected: _FloatArray = np.zeros(0, np.float32)
        self._steps = 0
        self._is_speech = False
        self._noise_s = 0.0  # for how long there has been sound that is no speech
        self._gate = 0.0
        if self._detector is not None:
            self._detector.reset()

    @torch.inference_mode()
    def process_samples(self, samples: _FloatArray) -> VoiceMotion:
        """The motion of the steps that ``samples`` [N], the next of the stream, complete; there may be none."""
        self._buffered = np.concatenate([self._buffered, samples])
        first = self._steps + 1 - LOOK_AHEAD_STEPS
        steps = (len(self._buffered) - CONTEXT_SAMPLES) // STEP_SAMPLES
        if not steps:
            return VoiceMotion(first, np.zeros((0, self._network.outputs), np.float32))
        whole = self._buffered[: CONTEXT_SAMPLES + steps * STEP_SAMPLES]
        self._buffered = self._buffered[steps * STEP_SAMPLES :]
        found, self._state = self._network(self._mel(torch.from_numpy(whole)[None]), self._state)
        coefficients = (found.mean(dim=1)[0] * self._network.scale[:, None]).T.numpy()
        gates = [self._update_gate(whole[CONTEXT_SAMPLES + i * STEP_SAMPLES :][:STEP_SAMPLES]) for i in range(steps)]
        self._steps += steps
        return VoiceMotion(first, (coefficients * np.array(gates, np.float32)[:, None]).astype(np.float32))

    def _update_gate(self, step: _FloatArray) -> float:
        """How far the mouth may open at a step: 0 keeps it shut, 1 follows the network.

        Sound that begins counts as speech until the detector decides otherwise: waiting for it would cost the
        beginning of every word.
        """
        if self._detector is None:
            return 1.0
        self._undetected = np.concatenate([self._undetected, step])
        ready = len(self._undetected) // self._chunk * self._chunk
        if ready:
            self._is_speech = (
                float(self._detector.speech_probabilities(self._undetected[:ready])[-1]) >= _SPEECH_THRESHOLD
            )
            self._undetected = self._undetected[ready:]
        quiet = float(np.sqrt(np.square(step).mean())) <= _SILENCE_RMS
        if self._is_speech:
            self._noise_s = 0.0
        else:  # the grace time recovers in silence only as fast as noise used it up, or a beat would renew it
            self._noise_s = max(self._noise_s + (-STEP_S if quiet else STEP_S), 0.0)
            self._noise_s = min(self._noise_s, _NOISE_GRACE_S + _NOISE_FADE_S)
        wanted = 0.0 if quiet else 1 - min(max((self._noise_s - _NOISE_GRACE_S) / _NOISE_FADE_S, 0.0), 1.0)
        self._gate += min(max(wanted - self._gate, -STEP_S / _GATE_RELEASE_S), STEP_S / _GATE_ATTACK_S)
        return self._gate


def process_recording(stream: VoiceStream, sound: _FloatArray) -> _FloatArray:
    """The motion [T, K] of a whole recording [N]; row ``t`` is at ``t * STEP_S`` seconds, the last at its end."""
    stream.reset()
    rest = -len(sound) % STEP_SAMPLES
    tail = np.zeros(rest + LOOK_AHEAD_STEPS * STEP_SAMPLES, np.float32)
    return stream.process_samples(np.concatenate([sound, tail])).coefficients[LOOK_AHEAD_STEPS - 1 :]
