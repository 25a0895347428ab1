"""Profiles keep what a person set up for a call under a name: avatars, calibration, gains and picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from livehead.config import GainSettings, PictureSettings, StrictSettings, parse_settings
from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError, did_you_mean
from livehead.storage import OWNER_ONLY, remove_abandoned, storage_folder, write_atomically
from livehead.untrusted_files import DamagedFileError, parse_json_object, read_untrusted

_NAME_PATTERN = re.compile(r"[\w][\w .-]{0,63}")


class CallProfile(StrictSettings):
    """One profile; ``calibration`` is the performer's neutral face, as ``NeutralCalibration.to_json`` gives it."""

    avatars: tuple[Path, ...] = ()
    mode: Literal["relative", "absolute"] = "relative"
    gains: GainSettings = GainSettings()
    picture: PictureSettings = PictureSettings()
    calibration: dict[str, Any] | None = None


class ProfileStore:
    """The profiles in ``folder``; by default ``$LIVEHEAD_HOME/profiles``, else where the system keeps settings."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or storage_folder("config", "profiles")

    def list_names(self) -> list[str]:
        """The names of all profiles, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json") if _NAME_PATTERN.fullmatch(path.stem))

    def load(self, name: str) -> CallProfile:
        """The profile called ``name``.

        Raises: ConfigError for an unknown name (with the nearest known one), an unknown key or a damaged file.
        """
        path = self._path(name)
        try:
            tree = read_untrusted(path, parse_json_object)
        except FileNotFoundError as error:
            known = self.list_names()
            remedy = did_you_mean(name, known) if known else "none was saved yet"
            raise ConfigError(f"there is no profile {name!r}", remedy, subject=name) from error
        except OSError as error:
            raise ConfigError(
                f"cannot read {path} ({error.strerror})", "check its permissions", subject=name
            ) from error
        except DamagedFileError as error:
            problem = f"{path} is not JSON of a profile ({error})"
            raise ConfigError(problem, "mend or delete it", subject=name) from error
        return parse_settings(CallProfile, tree, where=str(path))

    def save(self, name: str, profile: CallProfile) -> Path:
        """Keep ``profile`` as ``name``. Whatever happens meanwhile, either the old one or the new one is there, whole.

        Raises: ConfigError for a name that cannot be a file's, and when the folder cannot be written.
        """
        path = self._path(name)
        text = profile.model_dump_json(indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
            write_atomically(path, text, mode=OWNER_ONLY)
        except OSError as error:
            remedy = f"free some space, or set {HOME_VARIABLE} to another folder"
            raise ConfigError(f"cannot save {path} ({error.strerror})", remedy, subject=name) from error
        return path

    def check_name(self, name: str) -> None:
        """Refuse a name that cannot be a profile's, before anything is done for it. Raises: ConfigError."""
        self._path(name)

    def _path(self, name: str) -> Path:
        if not _NAME_PATTERN.fullmatch(name):
            remedy = "use up to 64 letters, digits, spaces, dots and dashes, a letter or digit first"
            raise ConfigError(f"{name!r} cannot name a profile", remedy, subject=name)
        return self.folder / f"{name}.json"
