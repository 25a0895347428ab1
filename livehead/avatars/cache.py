"""Prepared avatars on disk: a photo is segmented and prepared once, and recognised by its pixels afterwards."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import livehead
from livehead.avatars.archive import ArchiveError, dump_archive, load_archive, read_archive, write_archive
from livehead.config import FaceChoice
from livehead.frames import Image
from livehead.interfaces import AvatarT, Renderer
from livehead.perception.character_sheet import CharacterSheet
from livehead.perception.portrait import Portrait, photo_digest, prepare_portrait
from livehead.storage import evict_oldest, storage_folder
from livehead.untrusted_files import set_aside

_MAX_MEMORY_BYTES = 1 << 28
_MAX_FILES = 100  # of one to thirty megabytes each; those used longest ago go first
# packages whose code decides what is stored; `models` because DaGAN and CoNR keep what their networks find in a source
_STAMPED_PACKAGES = ("avatars", "models", "motion", "perception", "renderers")

_log = logging.getLogger(__name__)

T = TypeVar("T")


class AvatarStore(ABC):
    """Keeps portraits and avatars, so that a photo which is known is not prepared again."""

    def get_portrait(
        self, photo: Image, name: str, crop: Literal["auto", "whole"] = "auto", face: FaceChoice = "largest"
    ) -> Portrait:
        """Return the portrait of a photo; only new photos go through ``prepare_portrait``.

        Raises: NoFaceError, SourceError.
        """
        key = _archive_name(photo_digest(photo), "portrait", f"{crop} {face}")
        return replace(self._get_or_make(key, Portrait, lambda: prepare_portrait(photo, name, crop, face)), name=name)

    def get_avatar(self, portrait: Portrait, renderer: Renderer[Portrait, AvatarT, Any], version: str) -> AvatarT:
        """Return ``renderer.prepare(portrait)``, kept for the next time.

        ``version`` names what decides the avatars beside the code: a checkpoint, a precision. Raises: SourceError.
        """
        kind = renderer.avatar_type
        details = f"{kind.__module__} {version} {portrait.crop} {portrait.image.shape}"
        key = _archive_name(portrait.digest, kind.__name__, details)
        return self._get_or_make(key, kind, lambda: renderer.prepare(portrait))

    def get_figure_avatar(
        self, sheet: CharacterSheet, renderer: Renderer[CharacterSheet, AvatarT, Any], version: str
    ) -> AvatarT:
        """Return ``renderer.prepare(sheet)`` of a character sheet, kept for the next time.

        ``version`` is as in ``get_avatar``. Raises: SourceError.
        """
        kind = renderer.avatar_type
        key = _archive_name(sheet.digest, kind.__name__, f"{kind.__module__} {version}")
        return self._get_or_make(key, kind, lambda: renderer.prepare(sheet))

    @abstractmethod
    def _get_or_make(self, key: str, kind: type[T], make: Callable[[], T]) -> T:
        """Return what is kept as ``key``, else what ``make`` returns, which is kept from now on."""


class AvatarCache(AvatarStore):
    """Portraits and avatars under ``folder``; by default ``$LIVEHEAD_HOME/avatars``, else in the user's cache.

    Whatever is missing, damaged or of another version is made again, and a folder that cannot be written costs a log
    line, nothing else.
    """

    def __init__(self, folder: Path | None = None, max_files: int = _MAX_FILES) -> None:
        self.folder = folder or storage_folder("cache", "avatars")
        self._max_files = max_files

    def was_consent_shown(self, digest: str) -> bool:
        """Tell whether ``record_consent_shown`` was called for the photo of this digest."""
        return self._consent_path(digest).exists()

    def record_consent_shown(self, digest: str) -> None:
        """Remember that the notice about the depicted person's consent was shown for this photo."""
        try:
            self._consent_path(digest).parent.mkdir(parents=True, exist_ok=True)
            self._consent_path(digest).touch()
        except OSError as error:
            _log.warning("cannot remember in %s (%s)", self.folder, error)

    def _consent_path(self, digest: str) -> Path:
        return self.folder / "consent" / digest[:32]

    def _get_or_make(self, key: str, kind: type[T], make: Callable[[], T]) -> T:
        path = self.folder / f"{key}.npz"
        try:
            found = read_archive(kind, path)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("a stored avatar cannot be read and is made again (%s)", error)
        except ArchiveError as error:
            set_aside(path)
            _log.warning("a stored avatar is damaged and is made again (%s)", error)
        else:
            _mark_used(path)
            return found
        made = make()
        try:
            write_archive(path, made)
            evict_oldest(self.folder, "*.npz", max_files=self._max_files)
        except OSError as error:
            _log.warning("prepared avatars cannot be stored in %s (%s)", self.folder, error)
        return made


class MemoryAvatarStore(AvatarStore):
    """Portraits and avatars in memory only, such as those of a server's guests, of whom nothing is to outlive it.

    They take ``max_bytes`` at most; those used longest ago go first. Every reader gets a copy of its own, as from disk.
    """

    def __init__(self, max_bytes: int = _MAX_MEMORY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._archives: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def _get_or_make(self, key: str, kind: type[T], make: Callable[[], T]) -> T:
        with self._lock:
            found = self._archives.get(key)
            if found is not None:
                self._archives.move_to_end(key)
        if found is not None:
            return load_archive(kind, found)
        made = make()
        archive = dump_archive(made)
        with self._lock:
            self._archives[key] = archive
            while sum(map(len, self._archives.values())) > self._max_bytes and len(self._archives) > 1:
                self._archives.popitem(last=False)
        return made


def _archive_name(digest: str, label: str, details: str) -> str:
    """Return the name of what is kept, which depends on every circumstance that changes the content."""
    key = hashlib.sha256(f"{details} {livehead.__version__} {_code_stamp()}".encode()).hexdigest()
    return f"{digest[:32]}-{label}-{key[:12]}"


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError as error:  # a read-only folder can be used as well
        _log.debug("cannot mark %s as used (%s)", path, error)


@cache
def _code_stamp() -> str:
    """Return a digest that changes with the code that prepares avatars, so that changed code never reads old ones."""
    package = Path(livehead.__file__).parent
    files = sorted(path for room in _STAMPED_PACKAGES for path in (package / room).rglob("*.py"))
    seen = [(path.relative_to(package).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()
