"""The base of parts of a network that something faster than their own forward computes, behind an unchanged call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class CompiledPart(nn.Module):
    """A stand-in for ``part``, which takes and returns tensors only.

    ``rebuild`` turns the tensors of ``compute`` into what the part itself returns.
    """

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.part = part
        self._rebuild = rebuild or (lambda *outputs: outputs[0])

    def __getattr__(self, name: str) -> Any:
        """Look up in the part what this stand-in lacks, so that the part's other methods are reached as before."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("part"), name)

    def forward(self, *inputs: Tensor | None) -> Any:
        """Compute the part's result from its arguments in order; None at the end counts as not given."""
        return self._rebuild(*self.compute(tuple(x for x in inputs if x is not None)))

    @abstractmethod
    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute those of the part's outputs that are tensors."""


def to_tensor_tuple(result: Tensor | tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    """Convert a part's result to a plain tuple, leaving out what is None."""
    return (result,) if isinstance(result, Tensor) else tuple(x for x in result if x is not None)
