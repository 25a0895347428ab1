"""Folders for what goes with a process, however it ends: a server's recordings, a home where there is none.

A folder holds a lock for as long as its process runs. The system releases it with the process, also after ``kill -9``,
and the next process that opens such a folder removes every one whose lock nobody holds.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK_NAME = ".lock"
_START_S = 60.0  # a folder without a lock that is younger may be of a process that starts just now

log = logging.getLogger(__name__)


@contextmanager
def open_locked_folder(prefix: str) -> Iterator[Path]:
    """Make a folder that only its owner can read, which goes when the block ends; leftovers of others go first.

    Its name begins with ``prefix``, in the system's folder for temporary files. Raises: OSError.
    """
    remove_abandoned_folders(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with FileLock(folder / _LOCK_NAME, mode=0o600):
            yield folder


def remove_abandoned_folders(prefix: str) -> None:
    """Remove the folders of this user's processes that do not run any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_own_folder(folder) and _is_abandoned(folder):
            log.info("a process that did not end by itself left %s; it is removed", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(folder: Path) -> bool:
    """Tell whether this is a real folder of this user's, and no link that another user has laid."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _is_abandoned(folder: Path) -> bool:
    lock = folder / _LOCK_NAME
    try:
        if not lock.exists():
            return time.time() - folder.stat().st_mtime > _START_S
        with FileLock(lock, timeout=0):
            return True
    except (OSError, Timeout):
        return False
