"""Parts of a network recorded as CUDA graphs: a small network's frame is otherwise spent on launching its kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

_WARM_UP = 3  # calls before the recording, in which libraries choose their kernels and take their memory


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class CudaGraphPart(nn.Module):
    """``part`` behind the same call, recorded once for every set of shapes and types and replayed from then on.

    The part takes and returns tensors only; ``rebuild`` makes of the outputs what it returns itself. A part that cannot
    be recorded is called as it is, and a log line says so.
    """

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] = lambda *outputs: outputs[0]) -> None:
        super().__init__()
        self.part = part
        self._rebuild = rebuild
        self._recordings: dict[tuple[Any, ...], _Recording] = {}
        self._plain = False

    def __getattr__(self, name: str) -> Any:
        """What else the part has (what it does once a source, say) is reached as before."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("part"), name)

    def forward(self, *given: Tensor | None) -> Any:
        """The part's arguments in their order; those that are None at the end are as if they were not given."""
        inputs = tuple(x for x in given if x is not None)
        if self._plain:
            return self.part(*inputs)
        key = tuple((x.shape, x.dtype, x.stride()) for x in inputs)
        recording = self._recordings.get(key)
        if recording is None:
            try:
                recording = self._recordings[key] = self._record(inputs)
            except RuntimeError as error:
                log.warning("%s cannot be recorded as a CUDA graph (%s)", type(self.part).__name__, error)
                self._plain = True
                return self.part(*inputs)
        for kept, given in zip(recording.inputs, inputs, strict=True):
            kept.copy_(given)
        recording.graph.replay()
        return self._rebuild(*(x.clone() for x in recording.outputs))

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording:
        kept = tuple(x.clone() for x in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self.part(*kept)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.part(*kept)
        outputs = (result,) if isinstance(result, Tensor) else tuple(x for x in result if x is not None)
        return _Recording(graph, kept, outputs)
