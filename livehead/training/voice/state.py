"""A run of the voice model at any moment, and its checkpoints."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from livehead.models.voice.network import VoiceNetwork
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.voice.recipe import VoiceRecipe


@dataclass
class VoiceTrainingState:
    """All that changes while training. ``basis`` [K, 478, 3] is made once."""

    network: VoiceNetwork
    average: VoiceNetwork
    optimiser: torch.optim.Optimizer
    basis: torch.Tensor
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


def new_state(recipe: VoiceRecipe, basis: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor) -> VoiceTrainingState:
    """Fresh networks for log-mel frames of that ``mean`` and ``spread`` [BANDS]."""
    network = VoiceNetwork(len(basis), width=recipe.width, members=recipe.members, dropout=recipe.dropout)
    network.mean.copy_(mean)
    network.spread.copy_(spread)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    return VoiceTrainingState(network, copy.deepcopy(network).eval().requires_grad_(False), optimiser, basis)


def save_state(state: VoiceTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "basis": state.basis,
        "counts": {"step": state.step, "samples": state.samples, "seconds": state.seconds},
    }
    write_checkpoint(document, path)


def load_state(state: VoiceTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none."""
    document = read_checkpoint(path)
    state.network.load_state_dict(document["network"])
    state.average.load_state_dict(document["average"])
    state.optimiser.load_state_dict(document["optimiser"])
    state.basis = document["basis"]
    state.step, state.samples, state.seconds = (document["counts"][k] for k in ("step", "samples", "seconds"))
