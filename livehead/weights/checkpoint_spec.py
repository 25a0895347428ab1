"""What a publication consists of: the networks in its files, its licence, and where it is to be had."""

from __future__ import annotations

from dataclasses import dataclass

from livehead.errors import WeightsMissingError


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """One network of a publication: a pattern of the names of ``convert.load_official`` that it may be."""

    name: str
    network: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class CheckpointSpec:
    """What ``livehead weights import --as NAME`` takes. ``files``: as their authors call them.

    ``one_size``: the number that ends the networks' names must be the same in all of them. ``half``: kept in float16.
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
        """How to get it and bring it in, in one line."""
        files = " ".join(self.files)
        return (
            f"download {files} from {self.source} ({self.licence}) and run: "
            f"livehead weights import {files} --as {self.name}"
        )

    def missing_error(self, subject: str) -> WeightsMissingError:
        """The error for ``subject`` (a model, a driver), which needs it."""
        return WeightsMissingError(f"{subject} needs the weights {self.name}", self.remedy, subject=self.name)
