"""The bundled voice model: a network and the basis of a face that it speaks in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from livehead.models.voice.network import VoiceNetwork
from livehead.weights.safetensors_file import load_strict_state, read_weights

WEIGHTS_NAME = "voice"
"""Of the bundled weights."""

BASIS_KEY = "basis"
"""The tensor beside the network's own: [K, 478, 3], see ``motion.speech``."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceModel:
    """``network`` gives coefficients of ``basis`` [K, 478, 3]."""

    network: VoiceNetwork
    basis: npt.NDArray[np.float32]


def build_voice_model(tensors: dict[str, Tensor], name: str = WEIGHTS_NAME) -> VoiceModel:
    """The model of these tensors, whose shapes tell its size. Raises: WeightsMismatchError."""
    parts = dict(tensors)
    basis = parts.pop(BASIS_KEY)
    outputs = basis.shape[0]
    leave = parts.get("leave.weight")
    members = leave.shape[0] // outputs if leave is not None else 1
    width = leave.shape[1] if leave is not None else 1
    network = VoiceNetwork(outputs, width=width, members=members)
    load_strict_state(network, parts, name)
    return VoiceModel(network.eval().requires_grad_(False), basis.float().numpy())


def load_voice_model() -> VoiceModel:
    """The bundled model. Raises: WeightsMissingError, WeightsChecksumError, WeightsMismatchError."""
    return build_voice_model(read_weights(WEIGHTS_NAME))
