"""The state of a run of the foveal network at any moment, and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from livehead.models.foveal.network import FovealNetwork
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.distributed import place_network
from livehead.training.foveal.critic import PatchAdversary
from livehead.training.foveal.recipe import FovealRecipe
from livehead.training.progress import TrainingProgress
from livehead.training.weight_average import WeightAverage
from livehead.weights.safetensors_file import load_strict_state, read_safetensors


@dataclass
class FovealTrainingState(TrainingProgress):
    """All that changes while the foveal network is trained."""

    model: FovealNetwork
    average: WeightAverage[FovealNetwork]
    optimiser: torch.optim.Optimizer
    adversary: PatchAdversary | None = None


def new_foveal_state(recipe: FovealRecipe, device: torch.device, init: Path | None = None) -> FovealTrainingState:
    """A new model, its moving average and its optimiser; ``init`` is a safetensors file of initial weights.

    Raises: WeightsError.
    """
    model = place_network(FovealNetwork(), device)
    if init is not None:
        load_strict_state(model, read_safetensors(init), init.name)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)
    return FovealTrainingState(model, WeightAverage(model, recipe.average), optimiser)


def save_foveal_state(state: FovealTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        "model": state.model.state_dict(),
        "average": state.average.module.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "counts": state.counts(),
    }
    if state.adversary is not None:
        document["adversary"] = state.adversary.state_dict()
    write_checkpoint(document, path)


def load_foveal_state(state: FovealTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none."""
    document = read_checkpoint(path)
    state.restore_counts(document["counts"])
    state.model.load_state_dict(document["model"])
    state.average.load_state_dict(document["average"], state.step)
    state.optimiser.load_state_dict(document["optimiser"])
    if "adversary" in document:
        state.adversary = PatchAdversary(next(state.model.parameters()).device)
        state.adversary.load_state_dict(document["adversary"])
