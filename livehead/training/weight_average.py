"""The exponential moving average of a model's weights, which validation and export use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ModuleT = TypeVar("ModuleT", bound=nn.Module)
UpdateFunction = Callable[[Any, Any, Tensor | int], None]
"""Lists of averaged and of current weights, and the number of updates before: the first list is changed."""


class WeightAverage(Generic[ModuleT]):
    """A moving average of a model's weights, in evaluation mode and without gradients.

    Update number ``n`` (from 1) keeps min(``decay``, n / (9 + n)) of the average, so that a young average forgets the
    random weights it began with. Batch statistics are copied, as they are averages already.
    """

    def __init__(self, model: ModuleT, decay: float) -> None:
        self._averaged = AveragedModel(model, multi_avg_fn=_growing_decay(decay))
        self._averaged.eval().requires_grad_(False)
        self.restart_at(0)

    @property
    def module(self) -> ModuleT:
        """The model with the averaged weights; its state dict has the model's own keys."""
        return cast(ModuleT, self._averaged.module)

    def update(self, model: ModuleT) -> None:
        """Move the average towards the weights of ``model``."""
        self._averaged.update_parameters(model)

    def load_state_dict(self, state: Mapping[str, Any], updates: int) -> None:
        """Take over the averaged ``module``'s state dict, after so many ``updates``."""
        self.module.load_state_dict(state)
        self.restart_at(updates)

    def restart_at(self, updates: int) -> None:
        """Count on from ``updates``. The initial weights count as one: PyTorch would overwrite them with the next."""
        self._averaged.n_averaged.fill_(updates + 1)


def _growing_decay(decay: float) -> UpdateFunction:
    make_update: Callable[[float], UpdateFunction] = get_ema_multi_avg_fn

    def update(average: Any, current: Any, count: Tensor | int) -> None:
        number = int(count)
        make_update(min(decay, number / (9 + number)))(average, current, count)

    return update
