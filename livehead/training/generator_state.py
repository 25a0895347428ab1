"""The state of a generator's training, with the critic that joins it in later phases, and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.progress import TrainingProgress
from livehead.training.weight_average import WeightAverage

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class TrainableAdversary(Protocol):
    """A critic with its optimiser, as a checkpoint keeps them."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


AdversaryT = TypeVar("AdversaryT", bound=TrainableAdversary)


@dataclass
class GeneratorTrainingState(TrainingProgress, Generic[ModuleT, AdversaryT]):
    """All that changes while a generator is trained; ``adversary`` is None before the first phase that has one."""

    model: ModuleT
    average: WeightAverage[ModuleT]
    optimiser: torch.optim.Optimizer
    adversary: AdversaryT | None = None

    def save(self, path: Path) -> None:
        """Write a checkpoint; a reader never sees half of one."""
        document = {
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counts": self.counts(),
        }
        if self.adversary is not None:
            document["adversary"] = self.adversary.state_dict()
        write_checkpoint(document, path)

    def load(self, path: Path, make_adversary: Callable[[torch.device], AdversaryT]) -> None:
        """Go on from a checkpoint, whose critic is given to a new one of ``make_adversary``.

        Raises: ConfigError when there is no checkpoint, or it is damaged.
        """
        document = read_checkpoint(path)
        self.restore_counts(document["counts"])
        self.model.load_state_dict(document["model"])
        self.average.load_state_dict(document["average"], self.step)
        self.optimiser.load_state_dict(document["optimiser"])
        if "adversary" in document:
            self.adversary = make_adversary(next(self.model.parameters()).device)
            self.adversary.load_state_dict(document["adversary"])


def make_adamw(model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW for ``model`` at a learning rate of 0, which each step sets; vectors (biases, norms) do not decay."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
