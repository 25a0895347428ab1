"""What a run is made of at any moment, and its checkpoints."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from livehead.models.compact.network import CompactGenerator, build_compact
from livehead.models.quantize import split_ranges
from livehead.training.adversarial import MouthAdversary
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.recipe import CompactRecipe
from livehead.weights.safetensors_file import load_strict_state, read_safetensors


@dataclass
class CompactTrainingState:
    """All that changes while training."""

    model: CompactGenerator
    average: CompactGenerator
    optimiser: torch.optim.Optimizer
    adversary: MouthAdversary | None = None
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


def new_state(recipe: CompactRecipe, device: torch.device, init: Path | None = None) -> CompactTrainingState:
    """A fresh model, its moving average and optimiser."""
    model = build_compact().to(device, memory_format=torch.channels_last)
    if init is not None:
        weights, _ = split_ranges(
            read_safetensors(init)
        )  # whatever is trained gets ranges of its own when it is exported
        load_strict_state(model, weights, init.name)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)
    return CompactTrainingState(model, copy.deepcopy(model).eval().requires_grad_(False), optimiser)


def save_state(state: CompactTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "counts": {"step": state.step, "samples": state.samples, "seconds": state.seconds},
    }
    if state.adversary is not None:
        document["adversary"] = state.adversary.state_dict()
    write_checkpoint(document, path)


def load_state(state: CompactTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none."""
    document = read_checkpoint(path)
    state.model.load_state_dict(document["model"])
    state.average.load_state_dict(document["average"])
    state.optimiser.load_state_dict(document["optimiser"])
    if "adversary" in document:
        state.adversary = MouthAdversary(next(state.model.parameters()).device)
        state.adversary.load_state_dict(document["adversary"])
    state.step, state.samples, state.seconds = (document["counts"][k] for k in ("step", "samples", "seconds"))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards the model; batch statistics are taken over as they are averages already."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
