"""The bundled voice model: a network, and the basis of face shapes whose coefficients it predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from livehead.models.voice.network import VoiceNetwork
from livehead.weights.safetensors_file import load_strict_state, read_weights

WEIGHTS_NAME = "voice"
"""Name of the bundled weights."""

BASIS_KEY = "basis"
"""Key of the tensor [K, 478, 3] stored beside the network's own: the basis of ``motion.face.speech_basis``."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceModel:
    """A voice network and the ``basis`` [K, 478, 3] of face shapes whose coefficients it predicts."""

    network: VoiceNetwork
    basis: npt.NDArray[np.float32]


def build_voice_model(tensors: dict[str, Tensor], name: str = WEIGHTS_NAME) -> VoiceModel:
    """Build the model from its tensors, whose shapes determine its size. Raises: WeightsMismatchError."""
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
    """Load the bundled model. Raises: WeightsMissingError, WeightsChecksumError, WeightsMismatchError."""
    return build_voice_model(read_weights(WEIGHTS_NAME))
