"""Checkpoints of runs on disk: written whole or not at all, read without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from livehead.errors import ConfigError
from livehead.storage import replace_file
from livehead.untrusted_files import DamagedFileError, guard_parser


def write_checkpoint(document: Mapping[str, Any], path: Path) -> None:
    """Replace the file ``path`` by ``document``; a reader never sees half of one."""
    with replace_file(path) as partial, partial.open("wb") as file:
        torch.save(document, file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Raises: ConfigError when there is none, or when it is damaged."""
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint {path}", "leave out --resume to start anew", subject=str(path))
    try:
        with guard_parser():
            document: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedFileError as error:
        raise ConfigError(
            f"{path} is no checkpoint of a run", "start anew without --resume", subject=str(path)
        ) from error
    return document
