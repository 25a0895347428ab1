"""The state of a run of the foveal network."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch

from livehead.models.foveal.network import FovealNetwork
from livehead.training.distributed import place_network
from livehead.training.foveal.critic import PatchAdversary
from livehead.training.foveal.recipe import FovealRecipe
from livehead.training.generator_state import GeneratorTrainingState, make_adamw
from livehead.training.weight_average import WeightAverage
from livehead.weights.safetensors_file import load_strict_state, read_safetensors

FovealTrainingState: TypeAlias = GeneratorTrainingState[FovealNetwork, PatchAdversary]
"""All that changes while the foveal network is trained."""


def new_foveal_state(recipe: FovealRecipe, device: torch.device, init: Path | None = None) -> FovealTrainingState:
    """A new model, its moving average and its optimiser; ``init`` is a safetensors file of initial weights.

    Raises: WeightsError.
    """
    model = place_network(FovealNetwork(), device)
    if init is not None:
        load_strict_state(model, read_safetensors(init), init.name)
    optimiser = make_adamw(model, recipe.weight_decay)
    return FovealTrainingState(model, WeightAverage(model, recipe.average), optimiser)
