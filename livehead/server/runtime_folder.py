"""The folder in which a server keeps what goes with it, such as its guests' recordings, however the server ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from livehead import temporary_folders

PREFIX = "livehead-serve-"
"""How the name of every such folder begins, in the system's folder for temporary files."""


def open_runtime_folder() -> AbstractContextManager[Path]:
    """Make a folder that only its owner can read, which goes when the block ends; leftovers of others go first."""
    return temporary_folders.open_locked_folder(PREFIX)


def remove_abandoned_folders() -> None:
    """Remove the folders of this user's servers that do not run any more."""
    temporary_folders.remove_abandoned_folders(PREFIX)
