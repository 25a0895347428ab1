"""Parts of a network recorded as CUDA graphs: launching kernels is otherwise most of a small network's time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from livehead.models.compiled_part import CompiledPart, to_tensor_tuple

log = logging.getLogger(__name__)

_WARM_UP_CALLS = 3  # calls before the recording, in which libraries choose kernels and allocate memory


@dataclass(frozen=True, slots=True, eq=False)
class _RecordedGraph:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class CudaGraphPart(CompiledPart):
    """A part recorded once for every set of shapes and types, and replayed from then on.

    A part that cannot be recorded is called as it is, and a log line says so.
    """

    def __init__(self, part: nn.Module, rebuild: Callable[..., Any] | None = None) -> None:
        super().__init__(part, rebuild)
        self._recorded_graphs: dict[tuple[Any, ...], _RecordedGraph] = {}
        self._uses_eager_part = False

    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        key = tuple((x.shape, x.dtype, x.stride()) for x in inputs)
        if not self._uses_eager_part and key not in self._recorded_graphs:
            try:
                self._recorded_graphs[key] = self._record_graph(inputs)
            except RuntimeError as error:
                log.warning("%s cannot be recorded as a CUDA graph (%s)", type(self.part).__name__, error)
                self._uses_eager_part = True
        if self._uses_eager_part:
            return to_tensor_tuple(self.part(*inputs))
        recording = self._recorded_graphs[key]
        for static, given in zip(recording.inputs, inputs, strict=True):
            static.copy_(given)
        recording.graph.replay()
        return tuple(x.clone() for x in recording.outputs)

    def _record_graph(self, inputs: tuple[Tensor, ...]) -> _RecordedGraph:
        static = tuple(x.clone() for x in inputs)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch does not annotate it
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_CALLS):
                self.part(*static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = to_tensor_tuple(self.part(*static))
        return _RecordedGraph(graph, static, outputs)
