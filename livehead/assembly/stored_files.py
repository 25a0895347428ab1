"""Looks at everything that livehead keeps on this machine, and names what is damaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from livehead.assembly.profiles import ProfileStore
from livehead.avatars.archive import ArchiveError, check_archive
from livehead.avatars.cache import AvatarCache
from livehead.errors import LiveheadError
from livehead.models.openvino import check_stored_network, compiled_folder
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.untrusted_files import DAMAGED_SUFFIX, DamagedFileError
from livehead.weights.checkpoint_store import CheckpointStore

_TIME_LIMIT_S = 3.0  # for the files of a cache, which may be gigabytes; the newest come first


@dataclass(frozen=True, slots=True)
class StoredFilesReport:
    """What was found: ``checked`` files, of which ``replaceable`` damaged ones are made anew when they are needed.

    ``damaged``: names of what only the person can replace, each with the file's fault. ``set_aside``: files that were
    damaged when they were last used. ``skipped``: files of the caches for which there was no time.
    """

    checked: int
    replaceable: tuple[str, ...]
    damaged: tuple[str, ...]
    set_aside: int
    skipped: int

    def describe(self) -> str:
        """Return one line for a person."""
        faults = [*self.replaceable, *self.damaged]
        parts = [f"damaged: {'; '.join(faults)}" if faults else f"{self.checked} looked at, all are whole"]
        if self.set_aside:
            parts.append(f"{self.set_aside} set aside earlier as *{DAMAGED_SUFFIX}")
        if self.skipped:
            parts.append(f"{self.skipped} older ones not looked at")
        return ", ".join(parts)


def check_stored_files() -> StoredFilesReport:
    """Read prepared portraits and avatars, compiled networks, profiles and the records of imported weights."""
    avatars = AvatarCache().folder
    deadline_s = time.monotonic() + _TIME_LIMIT_S
    kinds = (
        ("avatars", avatars, "*.npz", check_archive),
        ("compiled networks", compiled_folder(), "*.blob", check_stored_network),
    )
    checked = skipped = aside = 0
    replaceable = []
    for label, folder, pattern, check in kinds:
        files = sorted(folder.glob(pattern), key=_modified_s, reverse=True)
        read, faults = _check_files(files, check, deadline_s)
        checked, skipped = checked + read, skipped + len(files) - read
        aside += len(list(folder.glob(f"*{DAMAGED_SUFFIX}")))
        if faults:
            replaceable.append(f"{faults} of {len(files)} {label}")
    damaged = [*_check_profiles(), *_check_records()]
    checked += len(ProfileStore().list_names()) + len(CheckpointStore().list_names())
    return StoredFilesReport(checked, tuple(replaceable), tuple(damaged), aside, skipped)


def _check_files(files: list[Path], check: Callable[[Path], None], deadline_s: float) -> tuple[int, int]:
    """Return how many files were read until the deadline, and how many of them are damaged."""
    faults = 0
    for number, path in enumerate(files):
        if time.monotonic() > deadline_s:
            return number, faults
        try:
            check(path)
        except (OSError, ArchiveError, DamagedFileError):
            faults += 1
    return len(files), faults


def _check_profiles() -> Iterator[str]:
    store = ProfileStore()
    for name in store.list_names():
        try:
            profile = store.load(name)
            if profile.calibration is not None:
                NeutralCalibration.from_json(profile.calibration)
        except LiveheadError as error:
            yield f"profile {name} ({error.problem})"


def _check_records() -> Iterator[str]:
    store = CheckpointStore()
    for name in store.list_names():
        try:
            store.read_record(name)
        except LiveheadError as error:
            yield f"weights {name} ({error.problem})"
        else:
            if not store.tensors_path(name).is_file():
                yield f"weights {name} ({store.tensors_path(name)} is gone)"


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
