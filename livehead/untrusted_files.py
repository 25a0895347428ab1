"""Reading files that may be damaged anywhere: whatever a parser raises becomes one error, and sizes are bounded.

A parser of a format that others wrote, or that a disk has damaged, can raise anything: ``zipfile`` alone raises
NotImplementedError, RuntimeError and ``zlib.error`` beside its own error, and deep nesting raises RecursionError. Every
reader of stored files calls ``read_untrusted`` or ``guard_parser``, so that no such file ends a program.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from livehead.errors import LiveheadError

DAMAGED_SUFFIX = ".damaged"
"""The end of the name that a damaged file of a cache gets; the file is kept for whoever looks for the cause."""

MAX_TEXT_BYTES = 16 << 20
"""The size beyond which a file of settings, a record or another JSON document is not read."""

_MAX_SET_ASIDE = 3  # damaged files of one folder; those damaged longest ago go first
_MAX_REASON_LENGTH = 200

T = TypeVar("T")


class DamagedFileError(Exception):
    """A file does not hold what its format asks for; the message is one line that says what was found."""


@contextmanager
def guard_parser() -> Iterator[None]:
    """Turn any exception of a parser in the block into DamagedFileError, errors of livehead's own excepted.

    Raises: DamagedFileError, LiveheadError.
    """
    try:
        yield
    except (DamagedFileError, LiveheadError):
        raise
    except Exception as error:  # boundary: the parser of a damaged file can raise anything
        reason = " ".join(str(error).split())[:_MAX_REASON_LENGTH] or type(error).__name__
        raise DamagedFileError(reason) from error


def read_untrusted(path: Path, parse: Callable[[bytes], T], *, max_bytes: int = MAX_TEXT_BYTES) -> T:
    """Return what ``parse`` makes of the content of ``path``, which has at most ``max_bytes``.

    Raises: OSError when the file cannot be read at all; DamagedFileError when its content is not what ``parse`` takes;
    LiveheadError where ``parse`` raises one itself.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DamagedFileError(f"it has more than {max_bytes} bytes")
    with guard_parser():
        return parse(content)


def parse_json_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object in ``content``. Raises: ValueError, RecursionError; to be called below a guard."""
    tree = json.loads(content.decode("utf-8"))
    if not isinstance(tree, dict):
        raise ValueError("it holds no JSON object")
    return tree


def parse_arrays(content: bytes, *, max_bytes: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of an ``.npz`` by name, every member's checksum checked.

    ``max_bytes`` bounds what all members have together once they are unpacked. No pickle is read. Raises: any exception
    of ``zipfile`` and ``numpy``; to be called below a guard.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_unpacked_size(archive, max_bytes)
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def check_unpacked_size(archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Check that all members of a zip together unpack to at most ``max_bytes``. Raises: ValueError."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max_bytes:
        raise ValueError(f"it unpacks to {unpacked} bytes, more than {max_bytes}")


def set_aside(path: Path) -> Path | None:
    """Rename the damaged file ``path`` so that its place is free, and return its new path.

    Of the files that a folder has set aside the newest few are kept. Returns None where the file cannot be renamed.
    """
    kept = path.with_name(path.name + DAMAGED_SUFFIX)
    try:
        os.replace(path, kept)
        os.utime(kept)
        older = sorted(path.parent.glob(f"*{DAMAGED_SUFFIX}"), key=_modified_s, reverse=True)[_MAX_SET_ASIDE:]
        for file in older:
            file.unlink(missing_ok=True)
    except OSError:
        return None
    return kept


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
