"""Reading and writing of safetensors files; bundled ones are read only if their sha256 is the recorded one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.errors import WeightsChecksumError, WeightsMismatchError, WeightsMissingError
from livehead.untrusted_files import DamagedFileError, guard_parser
from livehead.weights.bundled import WeightsEntry, find_weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn


def read_weights(name: str) -> dict[str, Tensor]:
    """The tensors of the bundled checkpoint ``name``, as stored.

    Raises: WeightsMissingError, WeightsChecksumError.
    """
    return read_entry(find_weights(name))


def read_entry(entry: WeightsEntry) -> dict[str, Tensor]:
    """The tensors of ``entry``. Raises: WeightsMissingError, WeightsChecksumError."""
    from safetensors.torch import load

    if not entry.path.is_file():
        raise WeightsMissingError(f"{entry.file} is not there", "install livehead again", subject=entry.name)
    content = entry.path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise WeightsChecksumError(
            f"{entry.file} is damaged: its sha256 begins with {digest[:12]}, not {entry.sha256[:12]}",
            "install livehead again",
            subject=entry.name,
        )
    tensors: dict[str, Tensor] = load(content)
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of the user's own. Raises: WeightsMissingError, WeightsMismatchError."""
    from safetensors.torch import load

    if not path.is_file():
        raise WeightsMissingError(f"there is no file {path}", "give a .safetensors file", subject=str(path))
    try:
        with guard_parser():
            tensors: dict[str, Tensor] = load(path.read_bytes())
    except DamagedFileError as error:
        raise WeightsMismatchError(
            f"{path} is no safetensors file ({error})", "export it anew", subject=str(path)
        ) from error
    return tensors


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, *, store_float16: bool = False) -> None:
    """Write tensors one after the other, so that it takes hardly more memory than the largest of them.

    ``store_float16``: float32 tensors are stored as float16, unless a tensor has some that float16 cannot hold.
    Raises: WeightsMismatchError for a type that safetensors lacks; OSError.
    """
    types = {key: _storage_dtype(value, half=store_float16) for key, value in tensors.items()}
    order = sorted(tensors, key=lambda key: (-types[key].itemsize, key))  # so that each lies at a multiple of its size
    header, offset = {}, 0
    for key in order:
        end = offset + tensors[key].numel() * types[key].itemsize
        shape = list(tensors[key].shape)
        header[key] = {"dtype": _safetensors_dtype(key, types[key]), "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in order:
            file.write(_tensor_bytes(tensors[key].detach().to(types[key])))


def _storage_dtype(value: Tensor, *, half: bool) -> torch.dtype:
    import torch

    if half and value.dtype == torch.float32:
        largest = float(value.abs().max()) if value.numel() else 0.0
        return torch.float16 if largest <= torch.finfo(torch.float16).max else torch.float32
    return value.dtype


def _safetensors_dtype(key: str, dtype: torch.dtype) -> str:
    known = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64"}
    known |= {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
    name = known.get(str(dtype).removeprefix("torch."))
    if name is None:
        raise WeightsMismatchError(f"{key} is of type {dtype}, which cannot be kept", "give plain numbers", subject=key)
    return name


def _tensor_bytes(value: Tensor) -> memoryview:
    """The bytes of a tensor on the processor, row by row."""
    import torch

    flat = torch.empty(value.numel(), dtype=value.dtype).copy_(value.reshape(-1))  # whatever its strides were
    content: npt.NDArray[np.uint8] = flat.view(torch.uint8).numpy()
    return content.data


def load_strict_state(network: nn.Module, tensors: dict[str, Any], name: str) -> None:
    """Copy ``tensors`` into ``network``, whatever their precision; every name must have its place on both sides.

    Raises: WeightsMismatchError naming the first key that has none, or whose shape differs.
    """
    wanted = network.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    lacking = sorted(wanted.keys() - tensors.keys() - counters)
    foreign = sorted(tensors.keys() - wanted.keys())
    shaped = sorted(key for key in wanted.keys() & tensors.keys() if wanted[key].shape != tensors[key].shape)
    for problem, keys in (("lacks", lacking), ("has the unknown", foreign), ("has another shape of", shaped)):
        if keys:
            raise WeightsMismatchError(
                f"{name} {problem} {keys[0]} ({len(keys)} such)", "use weights of the same version", subject=name
            )
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in tensors.items()}, strict=False)
