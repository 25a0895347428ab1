"""A published checkpoint: the networks in its files, its licence, and where it can be downloaded."""

from __future__ import annotations

from dataclasses import dataclass

from livehead.errors import WeightsMissingError


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """One network of a checkpoint; ``network`` is a pattern of the official names that it may have."""

    name: str
    network: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class CheckpointSpec:
    """Holds what ``livehead weights import --as NAME`` takes. ``files``: the names that their authors gave them.

    ``same_size``: the number that ends the networks' names must be the same in all of them. ``store_float16``: the
    imported copy is stored in float16.
    """

    name: str
    parts: tuple[CheckpointPart, ...]
    files: tuple[str, ...]
    licence: str
    source: str
    same_size: bool = False
    store_float16: bool = False

    @property
    def remedy(self) -> str:
        """How to download and import it, in one line."""
        return f"download {' '.join(self.files)} from {self.source} ({self.licence}) and run: {self.import_command}"

    @property
    def import_command(self) -> str:
        """The command that imports it once it is downloaded."""
        return f"livehead weights import {' '.join(self.files)} --as {self.name}"

    def missing_error(self, subject: str) -> WeightsMissingError:
        """The error for ``subject`` (a model, a driver), which needs it."""
        return WeightsMissingError(f"{subject} needs the weights {self.name}", self.remedy, subject=self.name)
