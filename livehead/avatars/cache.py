"""Prepared avatars on disk: a photo is segmented and prepared once, and recognised by its pixels afterwards."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import livehead
from livehead.avatars.archive import ArchiveError, read_archive, write_archive
from livehead.config import FaceChoice
from livehead.frames import Image
from livehead.interfaces import AvatarT, Renderer
from livehead.perception.character_sheet import CharacterSheet
from livehead.perception.portrait import Portrait, photo_digest, prepare_portrait
from livehead.storage import evict_oldest, storage_folder
from livehead.untrusted_files import set_aside

_MAX_FILES = 100  # of one to thirty megabytes each; those used longest ago go first
# packages whose code decides what is stored; `models` because DaGAN and CoNR keep what their networks find in a source
_STAMPED_PACKAGES = ("avatars", "models", "motion", "perception", "renderers")

_log = logging.getLogger(__name__)

T = TypeVar("T")


class AvatarCache:
    """Portraits and avatars under ``folder``; by default ``$LIVEHEAD_HOME/avatars``, else in the user's cache.

    Whatever is missing, damaged or of another version is made again, and a folder that cannot be written costs a log
    line, nothing else.
    """

    def __init__(self, folder: Path | None = None, max_files: int = _MAX_FILES) -> None:
        self.folder = folder or storage_folder("cache", "avatars")
        self._max_files = max_files

    def get_portrait(
        self, photo: Image, name: str, crop: Literal["auto", "whole"] = "auto", face: FaceChoice = "largest"
    ) -> Portrait:
        """Return the portrait of a photo; only new photos go through ``prepare_portrait``.

        Raises: NoFaceError, SourceError.
        """
        path = self._archive_path(photo_digest(photo), "portrait", f"{crop} {face}")
        return replace(self._get_or_make(path, Portrait, lambda: prepare_portrait(photo, name, crop, face)), name=name)

    def get_avatar(self, portrait: Portrait, renderer: Renderer[Portrait, AvatarT, Any], version: str) -> AvatarT:
        """Return ``renderer.prepare(portrait)``, kept on disk for the next time.

        ``version`` names what decides the avatars beside the code: a checkpoint, a precision. Raises: SourceError.
        """
        kind = renderer.avatar_type
        details = f"{kind.__module__} {version} {portrait.crop} {portrait.image.shape}"
        path = self._archive_path(portrait.digest, kind.__name__, details)
        return self._get_or_make(path, kind, lambda: renderer.prepare(portrait))

    def get_figure_avatar(
        self, sheet: CharacterSheet, renderer: Renderer[CharacterSheet, AvatarT, Any], version: str
    ) -> AvatarT:
        """Return ``renderer.prepare(sheet)`` of a character sheet, kept on disk for the next time.

        ``version`` is as in ``get_avatar``. Raises: SourceError.
        """
        kind = renderer.avatar_type
        path = self._archive_path(sheet.digest, kind.__name__, f"{kind.__module__} {version}")
        return self._get_or_make(path, kind, lambda: renderer.prepare(sheet))

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

    def _archive_path(self, digest: str, label: str, details: str) -> Path:
        """Return the file's path, whose name depends on every circumstance that changes the content."""
        key = hashlib.sha256(f"{details} {livehead.__version__} {_code_stamp()}".encode()).hexdigest()
        return self.folder / f"{digest[:32]}-{label}-{key[:12]}.npz"

    def _get_or_make(self, path: Path, kind: type[T], make: Callable[[], T]) -> T:
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
