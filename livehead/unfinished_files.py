"""Files that grow for a while, such as films: an earlier file of the same name stays whole until the new one is.

A film that is being made may be cut off at any moment, by Ctrl-C, a full disk or ``kill -9``. So it is written beside
the file whose place it will take, under a name that a person finds (``talk.unfinished.mp4``), and renamed at its end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from livehead.storage import is_stream

UNFINISHED = "unfinished"
"""The word in the name of a file that is not complete yet, or that never became complete."""

_MAX_UNFINISHED = 1000  # files of one name that were left unfinished


def is_same_file(first: Path, second: Path) -> bool:
    """Tell whether two paths lead to one file, by its number on its device.

    Hard links, symbolic links and relative paths are seen through, as is the case of letters where the file system
    ignores it. Paths at which there is no file yet are the same where a file made at one would appear at the other.
    Devices and pipes are no files: writing to them destroys nothing.
    """
    if is_stream(first) or is_stream(second):
        return False
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):
        if first.exists() or second.exists():
            return False
    one, other = first.resolve(), second.resolve()
    if one == other:
        return True
    if one.name != other.name and not (one.name.casefold() == other.name.casefold() and _ignores_case(one.parent)):
        return False
    try:
        return os.path.samefile(one.parent, other.parent)
    except OSError:
        return False


def list_files_below(folder: Path) -> Iterator[Path]:
    """Yield every file in ``folder`` and in the folders below it."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def unfinished_name(target: Path) -> str:
    """Return the name of ``target`` while it is unfinished: ``talk.unfinished.mp4`` of ``talk.mp4``."""
    return f"{target.stem}.{UNFINISHED}{target.suffix}"


class UnfinishedFile:
    """A file that is to become ``target``.

    It is written at ``path``. That is a name of its own beside ``target`` where an earlier file stands there, or where
    ``target`` must never be seen incomplete (``whole``); otherwise it is ``target`` itself, where a person looks for a
    live recording after a crash. ``overwrite`` False refuses to take the place of an earlier file. A device or a pipe
    is written to itself.
    """

    def __init__(self, target: Path, *, overwrite: bool = True, whole: bool = False) -> None:
        self.target = target
        self.path = target
        """Where the file is written; valid from ``create`` on."""
        self._overwrite = overwrite
        self._whole = whole
        self._is_stream = False

    def create(self) -> Path:
        """Make the empty file, and return ``path``. Raises: FileExistsError, PermissionError and other OSError."""
        if self.target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(self.target))
        self._is_stream = is_stream(self.target)
        if self._is_stream:
            return self.path
        target = self.target.resolve()
        mode = 0o666
        if target.is_file():
            if not self._overwrite:
                raise FileExistsError(errno.EEXIST, "it exists already", str(self.target))
            require_writable(target)
            mode = stat.S_IMODE(target.stat().st_mode)
        elif not self._whole:
            _create_empty(target, mode)
            self.path = target
            return self.path
        self.path = _create_beside(target, mode)
        return self.path

    @property
    def kept_path(self) -> Path:
        """Where ``keep`` would leave what was written so far."""
        return self.path if self._is_beside and self.target.exists() else self.target

    def finish(self) -> None:
        """Give the file its name, in place of an earlier file. Raises: OSError."""
        if self._is_beside:
            os.replace(self.path, self.target.resolve())
            self.path = self.target

    def keep(self) -> Path:
        """Keep what was written of a file that stays incomplete, and return its path: ``target`` if that is free."""
        if self._is_beside and not self.target.exists():
            self.finish()
        return self.path

    def discard(self) -> None:
        """Remove the file; an earlier one at ``target`` stays. Raises: OSError."""
        if not self._is_stream:
            self.path.unlink(missing_ok=True)

    @property
    def _is_beside(self) -> bool:
        return not self._is_stream and self.path != self.target and self.path != self.target.resolve()


def require_writable(file: Path) -> None:
    """Check that a file may be replaced by its owner's leave: a rename asks for none. Raises: PermissionError."""
    if not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, "it is protected against writing", str(file))


def _create_empty(path: Path, mode: int) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def _create_beside(target: Path, mode: int) -> Path:
    """Make an empty file of a new name beside ``target``, and return its path."""
    for number in count(1):
        name = unfinished_name(target if number == 1 else target.with_stem(f"{target.stem}-{number}"))
        path = target.with_name(name)
        try:
            _create_empty(path, mode)
        except FileExistsError:
            if number == _MAX_UNFINISHED:
                raise
        else:
            return path
    raise AssertionError("unreachable")


def _ignores_case(folder: Path) -> bool:
    """Tell whether the file system takes names that differ in the case of letters only for the same."""
    other = folder.with_name(folder.name.swapcase())
    try:
        return other != folder and os.path.samefile(folder, other)
    except OSError:
        return False
