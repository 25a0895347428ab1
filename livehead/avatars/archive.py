"""Prepared avatars on disk: dataclasses of arrays, key points and plain values, as one ``.npz`` without any pickle.

The file holds the arrays and a JSON tree that says where they belong; the types to build come from the reader's own
annotations, never from the file. Fields whose name begins with an underscore are caches: they are left out and start
empty.
"""

from __future__ import annotations

import dataclasses
import io
import json
import types
import typing
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from livehead.storage import OWNER_ONLY, replace_file
from livehead.untrusted_files import DamagedFileError, parse_arrays, read_untrusted

_TREE_KEY = "tree"
_MAX_ARCHIVE_BYTES = 1 << 30  # a real one has one to thirty megabytes

T = TypeVar("T")


class ArchiveError(Exception):
    """A file is damaged, or was written for other types than those asked for."""


def write_archive(path: Path, content: object) -> None:
    """Store a dataclass. The file appears whole or not at all, whatever happens meanwhile. Raises: OSError."""
    archive = dump_archive(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path, mode=OWNER_ONLY) as unfinished:
        unfinished.write_bytes(archive)


def read_archive(kind: type[T], path: Path) -> T:
    """Read the ``kind`` that was stored at ``path``. Raises: OSError when it cannot be read; ArchiveError."""
    try:
        return read_untrusted(path, partial(load_archive, kind), max_bytes=_MAX_ARCHIVE_BYTES)
    except DamagedFileError as error:
        raise ArchiveError(f"{path.name}: {error}") from error


def dump_archive(content: object) -> bytes:
    """Return a dataclass as the bytes of an archive."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = json.dumps(_serialize(content, arrays))
    file = io.BytesIO()
    np.savez(file, **{_TREE_KEY: np.frombuffer(tree.encode(), np.uint8)}, **arrays)
    return file.getvalue()


def load_archive(kind: type[T], archive: bytes) -> T:
    """Build the ``kind`` that ``dump_archive`` was given. Raises: any exception for other or damaged bytes."""
    tree, arrays = _parse_archive(archive)
    built: T = _deserialize(kind, tree, arrays)
    return built


def check_archive(path: Path) -> None:
    """Read everything that is stored at ``path``, whatever its type. Raises: OSError, ArchiveError."""
    try:
        read_untrusted(path, _parse_archive, max_bytes=_MAX_ARCHIVE_BYTES)
    except DamagedFileError as error:
        raise ArchiveError(f"{path.name}: {error}") from error


def _parse_archive(content: bytes) -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    """Return the tree and the arrays of an archive, every checksum checked."""
    arrays = parse_arrays(content, max_bytes=_MAX_ARCHIVE_BYTES)
    return json.loads(arrays.pop(_TREE_KEY).tobytes()), arrays


def _serialize(content: object, arrays: dict[str, np.ndarray[Any, Any]]) -> object:
    """Return ``content`` as JSON values; arrays go into ``arrays``, and their name stands in their place."""
    if isinstance(content, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = content
        return name
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        stored = [field.name for field in dataclasses.fields(content) if not field.name.startswith("_")]
        return {name: _serialize(getattr(content, name), arrays) for name in stored}
    if isinstance(content, tuple):
        return [_serialize(part, arrays) for part in content]
    if content is None or isinstance(content, (str, int, float, bool)):
        return content
    raise TypeError(f"an archive holds dataclasses, arrays, tuples and plain values, not {type(content).__name__}")


def _deserialize(kind: Any, tree: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """Build the value that ``_serialize`` took apart, guided by the annotation ``kind``."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(kind) if arm is not types.NoneType]
        return None if tree is None else _deserialize(arms[0], tree, arrays)
    if origin is np.ndarray:
        return arrays[tree]
    if origin is tuple:
        parts = typing.get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_deserialize(parts[0], part, arrays) for part in tree)
        return tuple(_deserialize(part, value, arrays) for part, value in zip(parts, tree, strict=True))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        stored = {field.name for field in dataclasses.fields(kind) if not field.name.startswith("_")}
        if not isinstance(tree, dict) or set(tree) != stored:
            raise TypeError(f"not the fields of {kind}")
        return typing.cast(Any, kind)(**{name: _deserialize(hints[name], tree[name], arrays) for name in stored})
    if kind is float and type(tree) is int:
        return float(tree)
    if origin is None and type(tree) is not kind:
        raise TypeError(f"{tree!r} is no {kind}")
    return tree
