"""Parts of a network as one call into torch, for processors: the same arithmetic, none of it through Python.

Hundreds of small operations, called one by one, give the interpreter's lock away and ask for it again as often; in a
live pipeline another thread holds it every few times, and on busy cores each wait costs a turn of the scheduler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from livehead.models.compiled_part import CompiledPart, to_tensor_tuple


class TracedPart(CompiledPart):
    """``part``, without gradients, traced once for every set of shapes and types that it is called with."""

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] | None = None) -> None:
        super().__init__(part.eval().requires_grad_(False), rebuild)
        self._traces: dict[tuple[Any, ...], Any] = {}

    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        key = tuple((x.shape, x.dtype) for x in inputs)
        if key not in self._traces:
            self._traces[key] = self._trace(inputs)
        with torch.jit.optimized_execution(False):  # it would take ten times as long at first, and no less later
            return to_tensor_tuple(self._traces[key](*inputs))

    def _trace(self, inputs: tuple[Tensor, ...]) -> Any:
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            examples = tuple(x.clone() for x in inputs)
            return torch.jit.trace(self.part, examples, check_trace=False)
