"""Sound in, motion out, in whatever pieces the sound comes: the pieces make no difference to what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from livehead.models.voice.logmel import HOP, PAST, LogMel
from livehead.models.voice.network import LOOK_AHEAD, STEP, STEP_S, VoiceNet

_Array = npt.NDArray[np.float32]

STEP_SAMPLES = STEP * HOP
"""Samples of a step: 20 ms."""

_QUIET = 10 ** (-50 / 20)  # root mean square of a step that is no speech, whatever it is
_LIKELY = 0.3  # probability of speech that is taken for speech
_PATIENCE_S, _DOUBT_S = 0.35, 0.35  # so long sound may be no speech; so long until it moves nothing any more
_OPENING_S, _CLOSING_S = 0.04, 0.08  # for the gate's whole way, at least
_WARM_UP = 75  # steps of silence after which nothing before them matters


class Activity(Protocol):
    """Tells speech from other sound: ``perception.voice_activity.VoiceActivity``."""

    def reset(self) -> None: ...

    def judge(self, samples: _Array) -> _Array: ...


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Motion of some steps: ``coefficients`` [T, K] of the face's basis; the first step is number ``first``.

    Step ``n`` is the moment at which sample ``n * STEP_SAMPLES`` of the stream is heard.
    """

    first: int
    coefficients: _Array


class VoiceStream:
    """Listens to one stream of sound at 16 kHz.

    ``activity`` (made anew for each stream, None for no gate) closes the mouth while nobody speaks; ``chunk`` is the
    number of samples that it judges at a time.
    """

    def __init__(self, network: VoiceNet, activity: Activity | None = None, chunk: int = 512) -> None:
        self._network = network.eval()
        self._mel = LogMel()
        self._activity = activity
        self._chunk = chunk
        with torch.inference_mode():
            silence = self._mel(torch.zeros(1, PAST + _WARM_UP * STEP_SAMPLES))
            _, self._silent = network(silence, network.start())
        self.reset()

    def reset(self) -> None:
        """Another stream begins, after silence."""
        self._past = self._silent
        self._waiting: _Array = np.zeros(PAST, np.float32)
        self._unjudged: _Array = np.zeros(0, np.float32)
        self._steps = 0
        self._likely = False
        self._other_s = 0.0  # for how long there has been sound that is no speech
        self._gate = 0.0
        if self._activity is not None:
            self._activity.reset()

    @torch.inference_mode()
    def hear(self, samples: _Array) -> Heard:
        """Motion of the steps that ``samples`` [N], the next of the stream, complete; there may be none."""
        self._waiting = np.concatenate([self._waiting, samples])
        first = self._steps + 1 - LOOK_AHEAD
        steps = (len(self._waiting) - PAST) // STEP_SAMPLES
        if not steps:
            return Heard(first, np.zeros((0, self._network.outputs), np.float32))
        whole = self._waiting[: PAST + steps * STEP_SAMPLES]
        self._waiting = self._waiting[steps * STEP_SAMPLES :]
        found, self._past = self._network(self._mel(torch.from_numpy(whole)[None]), self._past)
        coefficients = (found.mean(dim=1)[0] * self._network.scale[:, None]).T.numpy()
        gates = [self._gated(whole[PAST + i * STEP_SAMPLES :][:STEP_SAMPLES]) for i in range(steps)]
        self._steps += steps
        return Heard(first, (coefficients * np.array(gates, np.float32)[:, None]).astype(np.float32))

    def _gated(self, step: _Array) -> float:
        """How far the mouth is let go at a step: 0 shut, 1 as the network has it.

        Sound that begins is speech until it proves not to be: to wait for the judge would cost every word's beginning.
        """
        if self._activity is None:
            return 1.0
        self._unjudged = np.concatenate([self._unjudged, step])
        ready = len(self._unjudged) // self._chunk * self._chunk
        if ready:
            self._likely = float(self._activity.judge(self._unjudged[:ready])[-1]) >= _LIKELY
            self._unjudged = self._unjudged[ready:]
        quiet = float(np.sqrt(np.square(step).mean())) <= _QUIET
        if self._likely:
            self._other_s = 0.0
        else:  # patience comes back in silence as it went in noise, or a beat would renew it
            self._other_s = max(self._other_s + (-STEP_S if quiet else STEP_S), 0.0)
            self._other_s = min(self._other_s, _PATIENCE_S + _DOUBT_S)
        wanted = 0.0 if quiet else 1 - min(max((self._other_s - _PATIENCE_S) / _DOUBT_S, 0.0), 1.0)
        self._gate += min(max(wanted - self._gate, -STEP_S / _CLOSING_S), STEP_S / _OPENING_S)
        return self._gate


def offline(stream: VoiceStream, sound: _Array) -> _Array:
    """[T, K]: the motion of a whole recording [N]; row ``t`` is at ``t * STEP_S`` seconds, the last at its end."""
    stream.reset()
    rest = -len(sound) % STEP_SAMPLES
    tail = np.zeros(rest + LOOK_AHEAD * STEP_SAMPLES, np.float32)
    return stream.hear(np.concatenate([sound, tail])).coefficients[LOOK_AHEAD - 1 :]
