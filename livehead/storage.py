"""The folders in which livehead keeps its files, and writing to them whole or not at all, within a cache's limits."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import platformdirs

from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError
from livehead.temporary_folders import open_locked_folder

log = logging.getLogger(__name__)

StorageKind = Literal["cache", "config", "data"]

OWNER_ONLY = 0o600
"""Mode of files that only their owner may read: keys, and pictures of faces."""

_PARTIAL_PREFIX = ".partial-"
_ABANDONED_AFTER_S = 3600  # an unfinished file this much older than the newest finished one is a crash's

_SYSTEM_FOLDERS = {
    "cache": platformdirs.user_cache_path,
    "config": platformdirs.user_config_path,
    "data": platformdirs.user_data_path,
}


def storage_folder(kind: StorageKind, name: str) -> Path:
    """Return the folder ``name`` below ``$LIVEHEAD_HOME``, else below where the system keeps files of this ``kind``.

    The folder need not exist yet. Where it can be neither used nor made (a container with a foreign user, without a
    home, or with one that may not be read) it lies in a temporary folder, which is told once and ends with the process.
    Files of the kinds config and data may also be read where they may not be written.
    Raises: ConfigError where there is no temporary folder either.
    """
    base = _base_folder(kind)
    folder = None if base is None else base / name
    return folder if folder is not None and _is_usable(folder, kind) else _temporary_home() / name


def _base_folder(kind: StorageKind) -> Path | None:
    """The folder for files of this kind; None for a user without a home."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home)
    try:
        return _SYSTEM_FOLDERS[kind]("livehead")
    except RuntimeError:  # the user is in no list of users, and nothing else names a home
        return None


def _is_usable(folder: Path, kind: StorageKind) -> bool:
    """Tell whether ``folder`` can be made or written, or where that is enough for its kind, read."""
    existing = next((each for each in (folder, *folder.absolute().parents) if os.path.exists(each)), None)
    if existing is None or not os.path.isdir(existing):
        return existing == folder  # what is in the way of one folder is told when that is written
    if existing == folder and kind != "cache" and os.access(folder, os.R_OK | os.X_OK):
        return True
    return os.access(existing, os.R_OK | os.W_OK | os.X_OK if existing == folder else os.W_OK | os.X_OK)


@cache
def _temporary_home() -> Path:
    """A folder for this process alone, removed at its end, or after ``kill -9`` by the next. Raises: ConfigError."""
    stack = ExitStack()
    try:
        folder = stack.enter_context(open_locked_folder("livehead-home-"))
    except OSError as error:
        problem = "there is no folder that livehead may write into, neither a home nor a temporary one"
        raise ConfigError(problem, f"set {HOME_VARIABLE} to such a folder") from error
    atexit.register(stack.close)
    home = os.environ.get(HOME_VARIABLE)
    unusable = f"the folder {home} of {HOME_VARIABLE} cannot be used" if home else "no home folder can be used"
    remedy = "name another" if home else f"set {HOME_VARIABLE}"
    log.warning("%s: what livehead keeps is in %s and lost at the end; %s to keep it", unusable, folder, remedy)
    return folder


@contextmanager
def replace_file(path: Path, *, suffix: str = "", mode: int = 0o666) -> Iterator[Path]:
    """Give an empty file to write to, which takes the place of ``path`` when the block ends without an error.

    The file lies in the folder of ``path``, so that the change is one step: readers meet the old content or the new
    one, whole. After an error it is gone and ``path`` is as it was. A symbolic link stays one; a device or a pipe
    (``/dev/stdout``) is written to itself. ``suffix`` is for writers that go by the end of the name, ``mode`` is that
    of the new file before the process's umask. Raises: OSError.
    """
    if is_stream(path):
        yield path
        return
    target = path.resolve()
    if target.exists() and not os.access(target, os.W_OK):  # a rename would not ask
        raise PermissionError(errno.EACCES, "it is protected against writing", str(path))
    partial = target.with_name(f"{_PARTIAL_PREFIX}{secrets.token_hex(6)}{suffix}")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Make ``content`` (text as UTF-8) the whole content of ``path``, as ``replace_file`` does. Raises: OSError."""
    with replace_file(path, mode=mode) as partial, partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if partial != path:
            os.fsync(file.fileno())  # or a power cut may leave a new name on empty content


def evict_oldest(folder: Path, pattern: str, *, max_files: int, max_bytes: float = float("inf")) -> None:
    """Remove the files of ``folder`` that were used longest ago, until the rest is within both limits.

    ``pattern`` names the files, as ``Path.glob`` takes it. The newest file stays however large it is. Unfinished files
    that a crash left an hour before the newest one go too. Raises: OSError.
    """
    files = sorted(folder.glob(pattern), key=_last_used_s, reverse=True)
    newest_s = _last_used_s(files[0]) if files else 0.0
    total = 0
    for number, file in enumerate(files):
        total += _size_in_bytes(file)
        if number >= max_files or (number and total > max_bytes):
            file.unlink(missing_ok=True)
    remove_abandoned(folder, newest_s)


def remove_abandoned(folder: Path, now_s: float | None = None) -> None:
    """Remove unfinished files that a crash left in ``folder`` an hour before ``now_s``, a time of the file system.

    Without ``now_s`` it is the present. Raises: OSError.
    """
    newest_s = time.time() if now_s is None else now_s
    for partial in folder.glob(f"{_PARTIAL_PREFIX}*"):
        if _last_used_s(partial) < newest_s - _ABANDONED_AFTER_S:
            partial.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Tell whether ``path`` is a device, a pipe or another name of an open file (``/dev/fd/3``)."""
    return (path.exists() and not path.is_file()) or (path.parts[:2] == ("/", "dev") and path.parts[2:3] != ("shm",))


def _last_used_s(path: Path) -> float:
    """Return when a file was last used in seconds; 0 for one that another process has just removed."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size_in_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
