"""Parts of a network traced by TorchScript for the CPU: one call into torch, with the same arithmetic.

Hundreds of small operations, called one by one from Python, release the interpreter's lock and ask for it again as
often; in a live pipeline another thread often holds it, and on busy cores each wait costs a turn of the scheduler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from livehead.models.compiled_part import CompiledPart, to_tensor_tuple


class TracedPart(CompiledPart):
    """A part without gradients, traced once for every set of shapes and types that it is called with."""

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] | None = None) -> None:
        super().__init__(part.eval().requires_grad_(False), rebuild)
        self._traces: dict[tuple[Any, ...], Any] = {}

    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        key = tuple((x.shape, x.dtype) for x in inputs)
        if key not in self._traces:
            self._traces[key] = trace_module(self.part, inputs)
        # Optimised execution would take ten times as long at first, and no less later.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # torch.jit has no annotations
            return to_tensor_tuple(self._traces[key](*inputs))


def trace_module(module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Record what ``module`` computes for tensors like ``inputs``, without gradients, as a ``ScriptModule``."""
    with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # as above
        warnings.simplefilter("ignore", DeprecationWarning)
        examples = tuple(x.clone() for x in inputs)
        return torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]  # as above
