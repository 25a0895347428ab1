"""Sound in, motion out, in whatever pieces the sound comes: the pieces make no difference to what comes out."""

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
"""Samples of a step: 20 ms."""

_SILENCE_RMS = 10 ** (-50 / 20)  # root mean square of a step that is no speech, whatever it is
_SPEECH_THRESHOLD = 0.3  # probability of speech that is taken for speech
_NOISE_GRACE_S, _NOISE_FADE_S = 0.35, 0.35  # so long sound may be no speech; so long until it moves nothing any more
_GATE_ATTACK_S, _GATE_RELEASE_S = 0.04, 0.08  # for the gate's whole way, at least
_WARM_UP_STEPS = 75  # steps of silence after which nothing before them matters


class SpeechDetector(Protocol):
    """Tells speech from other sound: ``perception.voice_activity.VoiceActivity``."""

    def reset(self) -> None: ...

    def speech_probabilities(self, samples: _FloatArray) -> _FloatArray: ...


@dataclass(frozen=True, slots=True, eq=False)
class VoiceMotion:
    """Motion of some steps: ``coefficients`` [T, K] of the face's basis; the first step is number ``first``.

    Step ``n`` is the moment at which sample ``n * STEP_SAMPLES`` of the stream is heard.
    """

    first_step: int
    coefficients: _FloatArray


class VoiceStream:
    """Listens to one stream of sound at 16 kHz.

    ``activity`` (made anew for each stream, None for no gate) closes the mouth while nobody speaks; ``chunk`` is the
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
        """Another stream begins, after silence."""
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
        """Motion of the steps that ``samples`` [N], the next of the stream, complete; there may be none."""
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
        """How far the mouth is let go at a step: 0 shut, 1 as the network has it.

        Sound that begins is speech until it proves not to be: to wait for the judge would cost every word's beginning.
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
        else:  # patience comes back in silence as it went in noise, or a beat would renew it
            self._noise_s = max(self._noise_s + (-STEP_S if quiet else STEP_S), 0.0)
            self._noise_s = min(self._noise_s, _NOISE_GRACE_S + _NOISE_FADE_S)
        wanted = 0.0 if quiet else 1 - min(max((self._noise_s - _NOISE_GRACE_S) / _NOISE_FADE_S, 0.0), 1.0)
        self._gate += min(max(wanted - self._gate, -STEP_S / _GATE_RELEASE_S), STEP_S / _GATE_ATTACK_S)
        return self._gate


def process_recording(stream: VoiceStream, sound: _FloatArray) -> _FloatArray:
    """[T, K]: the motion of a whole recording [N]; row ``t`` is at ``t * STEP_S`` seconds, the last at its end."""
    stream.reset()
    rest = -len(sound) % STEP_SAMPLES
    tail = np.zeros(rest + LOOK_AHEAD_STEPS * STEP_SAMPLES, np.float32)
    return stream.process_samples(np.concatenate([sound, tail])).coefficients[LOOK_AHEAD_STEPS - 1 :]
