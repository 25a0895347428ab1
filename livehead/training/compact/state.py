"""The state of a run of ``compact``."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch

from livehead.models.compact.build import build_compact
from livehead.models.compact.network import CompactGenerator
from livehead.models.quantize import split_ranges
from livehead.training.compact.mouth_adversary import MouthAdversary
from livehead.training.compact.recipe import CompactRecipe
from livehead.training.distributed import place_network
from livehead.training.generator_state import GeneratorTrainingState, make_adamw
from livehead.training.weight_average import WeightAverage
from livehead.weights.safetensors_file import load_strict_state, read_safetensors

CompactTrainingState: TypeAlias = GeneratorTrainingState[CompactGenerator, MouthAdversary]
"""All that changes while ``compact`` is trained."""


def new_state(recipe: CompactRecipe, device: torch.device, init: Path | None = None) -> CompactTrainingState:
    """A new model, its moving average and its optimiser; ``init`` is a safetensors file of initial weights.

    Raises: WeightsError.
    """
    model = place_network(build_compact(), device)
    if init is not None:
        weights, _ = split_ranges(read_safetensors(init))  # an export measures ranges of its own
        load_strict_state(model, weights, init.name)
    optimiser = make_adamw(model, recipe.weight_decay)
    return CompactTrainingState(model, WeightAverage(model, recipe.average), optimiser)
