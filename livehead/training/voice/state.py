"""The state of a run of the voice model at any moment, and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from livehead.models.voice.network import VoiceNetwork
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.progress import TrainingProgress
from livehead.training.voice.recipe import VoiceRecipe
from livehead.training.weight_average import WeightAverage


@dataclass
class VoiceTrainingState(TrainingProgress):
    """All that changes while the voice model is trained, and its motion ``basis`` [K, 478, 3], which is made once."""

    network: VoiceNetwork
    average: WeightAverage[VoiceNetwork]
    optimiser: torch.optim.Optimizer
    basis: torch.Tensor


def new_state(
    recipe: VoiceRecipe, basis: torch.Tensor, scale: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor
) -> VoiceTrainingState:
    """A new network for frames of that ``mean`` and ``spread`` [BANDS] and coefficients of that ``scale`` [K]."""
    network = VoiceNetwork(len(basis), width=recipe.width, members=recipe.members, dropout=recipe.dropout)
    for name, value in (("mean", mean), ("spread", spread), ("scale", scale)):
        network.get_buffer(name).copy_(value)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    return VoiceTrainingState(network, WeightAverage(network, recipe.average), optimiser, basis)


def save_state(state: VoiceTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        "network": state.network.state_dict(),
        "average": state.average.module.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "basis": state.basis,
        "counts": state.counts(),
    }
    write_checkpoint(document, path)


def load_state(state: VoiceTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none."""
    document = read_checkpoint(path)
    state.restore_counts(document["counts"])
    state.network.load_state_dict(document["network"])
    state.average.load_state_dict(document["average"], state.step)
    state.optimiser.load_state_dict(document["optimiser"])
    state.basis = document["basis"]
