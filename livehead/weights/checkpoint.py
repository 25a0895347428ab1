"""Foreign checkpoint files: PyTorch's ``.pth`` and ``.pth.tar``, Caffe's and safetensors, read without running what
they say.

A PyTorch file is a pickle, and a pickle is a program. ``weights_only`` reads tensors and plain values and stops at
anything else, before it has done anything. Command-line options that authors saved beside their networks become inert
records.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.errors import WeightsMismatchError, WeightsMissingError
from livehead.untrusted_files import DamagedFileError, guard_parser
from livehead.weights.caffe import read_caffemodel
from livehead.weights.safetensors_file import read_safetensors

if TYPE_CHECKING:
    from torch import Tensor


class InertNamespace:
    """Stands for the ``argparse.Namespace`` that authors saved beside a network: it holds values and does nothing."""


_SAFE_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(InertNamespace, "argparse.Namespace")]
"""The only names that a file may mention, and the inert classes that replace them."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundStateDict:
    """One network's tensors by key. ``entry``: the entry that held them; empty if they are the whole file."""

    entry: str
    tensors: Mapping[str, Tensor]


def file_sha256(path: Path) -> str:
    """The sha256 of the file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_checkpoint(path: Path) -> list[FoundStateDict]:
    """Read all networks of a file; other contents (optimisers, counters) are left out.

    Raises: WeightsMissingError when there is no file; WeightsMismatchError when it is none of the formats, damaged, or
    holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise WeightsMissingError(f"there is no file {path}", "name the downloaded checkpoint", subject=str(path))
    if path.suffix == ".safetensors":
        return _group_by_network(read_safetensors(path))
    if path.suffix == ".caffemodel":
        return [FoundStateDict("", read_caffemodel(path))]
    content = _load_pickle(path)
    found = list(_find_state_dicts(content, ""))
    if not found:
        raise WeightsMismatchError(f"{path} holds no network", "name the published file", subject=str(path))
    return found


def _load_pickle(path: Path) -> Any:
    import torch

    try:
        with guard_parser(), warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_GLOBALS):
            warnings.simplefilter("ignore", UserWarning)  # about old pickles: what matters is said below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except DamagedFileError as error:
        cause = error.__cause__
        problem = "is damaged, not wholly downloaded, or no checkpoint"
        if isinstance(cause, pickle.UnpicklingError):
            problem = "is damaged or no checkpoint"
            if "Unsupported" in str(cause) or "weights_only" in str(cause).lower():
                problem = "is damaged or holds more than tensors, perhaps a program; nothing of it was run"
        raise _mismatch_error(path, problem) from error


def _mismatch_error(path: Path, problem: str) -> WeightsMismatchError:
    return WeightsMismatchError(f"{path} {problem}", "download it again from its authors", subject=str(path))


def _find_state_dicts(content: Any, entry_name: str) -> Iterator[FoundStateDict]:
    """``content`` itself if its values are tensors, else those of its own entries, one level deep."""
    import torch

    if not isinstance(content, Mapping):
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if tensors:
        yield FoundStateDict(entry_name, tensors)
    elif not entry_name:
        for name, entry in content.items():
            yield from _find_state_dicts(entry, str(name))


def _group_by_network(tensors: Mapping[str, Tensor]) -> list[FoundStateDict]:
    """Keys ``part/key`` are several networks in one file, as ``weights.library`` keeps them."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        part, slash, key = name.rpartition("/")
        groups.setdefault(part if slash else "", {})[key] = value
    return [FoundStateDict(part, group) for part, group in groups.items()]
