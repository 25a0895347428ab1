"""Parts of a network compiled by OpenVINO for the CPU, with 8-bit integer convolutions where they are asked for.

OpenVINO is an optional package (the extra ``fast-cpu``). A part takes and returns tensors only; it is traced and
compiled for every set of shapes that it is called with.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livehead.models.compiled_part import CompiledPart, to_tensor_tuple
from livehead.models.quantize import ROUNDING_VERSION, ActivationRanges, fake_quantize
from livehead.models.torchscript import trace_module
from livehead.storage import evict_oldest, replace_file, storage_folder
from livehead.threads import available_cores
from livehead.untrusted_files import DamagedFileError, read_untrusted, set_aside

log = logging.getLogger(__name__)

MAX_CACHED_NETWORKS, MAX_CACHE_BYTES = 32, 2**30  # those used longest ago go first
_MAX_BLOB_BYTES = 2**31  # of one network; real ones have up to some hundred megabytes
_DIGEST_BYTES = hashlib.sha256().digest_size  # a stored network begins with the sha256 of the rest


def is_available() -> bool:
    """Tell whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would write into the user's home and send to its maker."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that importing it fails
    import openvino

    return openvino


class _TensorOutputs(nn.Module):
    """A part whose outputs are a plain tuple of tensors, as tracing needs them."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return to_tensor_tuple(self.part(*inputs))


class OpenVinoPart(CompiledPart):
    """A part compiled by OpenVINO behind the same call, for float32 tensors on the CPU and without gradients.

    With ``ranges`` its convolutions are computed in eight bits, and what lies between them in ``float_type`` ("f32" or
    "bf16"). It uses ``threads`` threads, all cores if None; torch itself should use one beside it, or two thread pools
    fight over the cores.
    """

    def __init__(
        self,
        part: nn.Module,
        ranges: ActivationRanges | None = None,
        rebuild: Callable[..., Any] | None = None,
        float_type: str = "f32",
        *,
        threads: int | None = None,
    ) -> None:
        super().__init__(part.float().eval().requires_grad_(False), rebuild)
        self._ranges = ranges
        self._threads = threads or available_cores()
        self._float_type = float_type
        self._infer_requests: dict[tuple[torch.Size, ...], Any] = {}

    def compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shapes = tuple(x.shape for x in inputs)
        request = self._infer_requests.get(shapes)
        if request is None:
            request = self._infer_requests[shapes] = self._compile_request(inputs)
        arrays = [x.float().contiguous().numpy() for x in inputs]
        result = request.infer(arrays, share_inputs=True)
        return tuple(torch.from_numpy(result[i]) for i in range(len(result)))

    def _compile_request(self, inputs: tuple[Tensor, ...]) -> Any:
        """An inference request for these shapes: from the cache, or compiled (a second or two) and stored there."""
        openvino = import_openvino()
        core = _get_core()
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._float_type,
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,  # or all processes that use OpenVINO compute on the same core
        }
        made_from = (
            [_digest_part(self.part), sorted(self._ranges.items()), ROUNDING_VERSION]
            if self._ranges
            else _digest_part(self.part)
        )
        circumstances = [openvino.__version__, core.get_property("CPU", "FULL_DEVICE_NAME"), hints, made_from]
        key = repr([*circumstances, [tuple(x.shape) for x in inputs]])
        kept = compiled_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.blob"
        compiled = _load_compiled(core, kept, hints)
        if compiled is None:
            # Rounded only here, and again for every set of shapes, since it is a second copy of all weights.
            whole = _TensorOutputs(fake_quantize(self.part, self._ranges) if self._ranges else self.part)
            compiled = core.compile_model(self._convert_model(whole, inputs), "CPU", hints)
            _store_compiled(kept, compiled.export_model().getvalue())
        return compiled.create_infer_request()

    @staticmethod
    def _convert_model(whole: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        openvino = import_openvino()
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            examples = tuple(x.float().contiguous().clone() for x in inputs)
            model = openvino.convert_model(trace_module(whole, examples), example_input=examples)
        model.reshape({port: list(x.shape) for port, x in zip(model.inputs, examples, strict=True)})
        return model


def _digest_part(part: nn.Module) -> str:
    """The sha256 of everything in the part that decides what it computes."""
    digest = hashlib.sha256(repr(part).encode())
    for name, value in part.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy())
    return digest.hexdigest()


@cache
def _get_core() -> Any:
    """OpenVINO's core, one for the life of the process: without any, the library unloads under its own threads."""
    return import_openvino().Core()


def _load_compiled(core: Any, path: Path, hints: dict[str, Any]) -> Any:
    """The compiled network in the file ``path``; None where there is none, or what is there cannot be used."""
    try:
        compiled = read_untrusted(
            path, lambda content: core.import_model(_check_blob(content), "CPU", hints), max_bytes=_MAX_BLOB_BYTES
        )
        os.utime(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read (%s)", path, error)
        return None
    except DamagedFileError as error:
        set_aside(path)
        log.warning("%s is damaged and is made again (%s)", path, error)
        return None
    return compiled


def _check_blob(content: bytes) -> bytes:
    """Return the network behind its sha256: OpenVINO takes a damaged one, and crashes or computes something else.

    Raises: ValueError.
    """
    digest, blob = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(blob).digest() != digest:
        raise ValueError("its sha256 is not that of what was stored")
    return blob


def compiled_folder() -> Path:
    """Return the folder that keeps the compiled networks."""
    return storage_folder("cache", "compiled")


def check_stored_network(path: Path) -> None:
    """Read a compiled network that was stored, without using it. Raises: OSError, DamagedFileError."""
    read_untrusted(path, _check_blob, max_bytes=_MAX_BLOB_BYTES)


def _store_compiled(path: Path, blob: bytes) -> None:
    """Write ``blob`` so that no reader sees half of it, and drop the oldest files beyond what is kept at most."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as partial:
            partial.write_bytes(hashlib.sha256(blob).digest() + blob)
        evict_oldest(path.parent, "*.blob", max_files=MAX_CACHED_NETWORKS, max_bytes=MAX_CACHE_BYTES)
    except OSError as error:
        log.warning("compiled networks cannot be kept in %s (%s)", path.parent, error)
