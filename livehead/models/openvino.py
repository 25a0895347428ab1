"""Parts of a network compiled by OpenVINO, for processors: integer convolutions where they are asked for.

An optional package (the extra ``fast-cpu``). A part takes and returns tensors only; it is traced once and compiled for
every set of shapes that it is called with.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor, nn

from livehead.config import HOME_VARIABLE
from livehead.models.compiled import CompiledPart, tensors_of
from livehead.models.quantize import ROUNDING, Ranges, rounded

log = logging.getLogger(__name__)

_FILES_AT_MOST, _BYTES_AT_MOST = 32, 2**30  # those used longest ago go first


def available() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("openvino") is not None


class _Tensors(nn.Module):
    """A part whose outputs are tensors and nothing else, as a trace wants them."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tensors_of(self.part(*inputs))


class OpenVinoPart(CompiledPart):
    """``part`` behind the same call, for float32 tensors on the processor and without gradients.

    With ``ranges`` its convolutions are computed in eight bits, what is between them in ``between`` ("f32", "bf16").
    It computes in as many threads as torch has when it
    is built; torch's own should be one from then on, or two pools fight over the cores.
    """

    def __init__(
        self,
        part: nn.Module,
        ranges: Ranges | None = None,
        rebuild: Callable[..., Any] | None = None,
        between: str = "f32",
    ) -> None:
        super().__init__(part.float().eval().requires_grad_(False), rebuild)
        self._ranges = ranges
        self._threads = torch.get_num_threads()
        self._between = between
        self._requests: dict[tuple[torch.Size, ...], Any] = {}

    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shapes = tuple(x.shape for x in inputs)
        request = self._requests.get(shapes)
        if request is None:
            request = self._requests[shapes] = self._compile(inputs)
        arrays = [x.float().contiguous().numpy() for x in inputs]
        result = request.infer(arrays, share_inputs=True)
        return tuple(torch.from_numpy(result[i]) for i in range(len(result)))

    def _compile(self, inputs: tuple[Tensor, ...]) -> Any:
        """An inference request for these shapes: from the cache, or made (a second or two) and put there."""
        import openvino

        core = _core()
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._between,
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,  # it would compute on the same core as every other process that uses OpenVINO
        }
        made_from = [_digest(self.part), sorted(self._ranges.items()), ROUNDING] if self._ranges else _digest(self.part)
        circumstances = [openvino.__version__, core.get_property("CPU", "FULL_DEVICE_NAME"), hints, made_from]
        key = repr([*circumstances, [tuple(x.shape) for x in inputs]])
        kept = _cache() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.blob"
        compiled = _kept(core, kept, hints)
        if compiled is None:
            # rounded only here, and anew for every set of shapes: it is a second copy of all weights
            whole = _Tensors(rounded(self.part, self._ranges) if self._ranges else self.part)
            compiled = core.compile_model(self._traced_model(whole, inputs), "CPU", hints)
            _keep(kept, compiled.export_model().getvalue())
        return compiled.create_infer_request()

    @staticmethod
    def _traced_model(whole: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        import openvino

        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            examples = tuple(x.float().contiguous().clone() for x in inputs)
            traced = torch.jit.trace(whole, examples, check_trace=False)
            model = openvino.convert_model(traced, example_input=examples)
        model.reshape({port: list(x.shape) for port, x in zip(model.inputs, examples, strict=True)})
        return model


def _digest(part: nn.Module) -> str:
    """Of everything in the part that decides what it computes."""
    digest = hashlib.sha256(repr(part).encode())
    for name, value in part.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy())
    return digest.hexdigest()


@cache
def _core() -> Any:
    """One for the process, to its end: with the last of them the library is unloaded under its own threads."""
    import openvino

    return openvino.Core()


def _cache() -> Path:
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home) if home else platformdirs.user_cache_path("livehead")) / "compiled"


def _kept(core: Any, path: Path, hints: dict[str, Any]) -> Any:
    """The compiled network in the file ``path``; None where there is none, or what is there cannot be used."""
    try:
        compiled = core.import_model(path.read_bytes(), "CPU", hints)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (RuntimeError, OSError) as error:
        log.warning("%s cannot be used and is made again (%s)", path, " ".join(str(error).split())[:200])
        return None
    return compiled


def _keep(path: Path, blob: bytes) -> None:
    """Write ``blob`` so that no reader sees half of it, and drop the oldest files beyond what is kept at most."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(blob)
        os.replace(unfinished, path)
        by_age = sorted(path.parent.glob("*.blob"), key=lambda file: file.stat().st_mtime, reverse=True)
        taken = 0
        for number, file in enumerate(by_age):
            taken += file.stat().st_size
            if number >= _FILES_AT_MOST or (taken > _BYTES_AT_MOST and file != path):
                file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("compiled networks cannot be kept in %s (%s)", path.parent, error)
