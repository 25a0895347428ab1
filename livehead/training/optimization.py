"""One step of an optimiser, as all trainers take it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from livehead.training.distributed import average_gradients


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group of ``optimiser`` the learning rate ``rate``."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def take_optimiser_step(
    optimiser: torch.optim.Optimizer,
    network: nn.Module,
    loss: Tensor,
    max_norm: float = math.inf,
    *,
    share: bool = False,
) -> float:
    """Lower ``loss`` by one step of ``network``'s weights, and return the norm of the gradient before clipping.

    Gradients are clipped to ``max_norm``. A step whose gradient is not finite is left out. ``share`` averages the
    gradients of all processes first, for a network that is not wrapped by ``wrap_ddp``.
    """
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if share:
        average_gradients(network)
    norm = nn.utils.clip_grad_norm_(network.parameters(), max_norm)
    if torch.isfinite(norm):
        optimiser.step()
    return float(norm)
