"""Parts of a network behind the call that they always had, computed by something quicker than their own forward."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class CompiledPart(nn.Module):
    """Stands in the place of ``part``, which takes and returns tensors only.

    ``rebuild`` makes of the tensors of ``compute`` what the part itself returns.
    """

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.part = part
        self._rebuild = rebuild or (lambda *outputs: outputs[0])

    def __getattr__(self, name: str) -> Any:
        """What else the part has (what it does once a source, say) is reached as before."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("part"), name)

    def forward(self, *given: Tensor | None) -> Any:
        """The part's arguments in their order; those that are None at the end are as if they were not given."""
        return self._rebuild(*self.compute(tuple(x for x in given if x is not None)))

    @abstractmethod
    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs that are tensors."""


def to_tensor_tuple(result: Tensor | tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    """What a part returned, without its type and what is None in it."""
    return (result,) if isinstance(result, Tensor) else tuple(x for x in result if x is not None)
