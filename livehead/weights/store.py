"""Reading checkpoints: safetensors only, and only when the sha256 is the recorded one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.errors import WeightsChecksumError, WeightsMismatchError, WeightsMissingError
from livehead.weights.registry import WeightsEntry, find_weights

if TYPE_CHECKING:
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


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of the user's own. Raises: WeightsMissingError, WeightsMismatchError."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.is_file():
        raise WeightsMissingError(f"there is no file {path}", "give a .safetensors file", subject=str(path))
    try:
        tensors: dict[str, Tensor] = load(path.read_bytes())
    except SafetensorError as error:
        raise WeightsMismatchError(
            f"{path} is no safetensors file ({error})", "export it anew", subject=str(path)
        ) from error
    return tensors


def load_into(network: nn.Module, tensors: dict[str, Any], name: str) -> None:
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
