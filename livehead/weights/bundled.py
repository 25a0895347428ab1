"""The weights that ship with the package, as ``assets/weights.json`` lists them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from livehead.errors import WeightsMissingError

ASSETS_PACKAGE = "livehead.assets"


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """A bundled checkpoint: its ``file`` among the assets, ``sha256``, ``licence`` and model ``card`` (a file too)."""

    name: str
    file: str
    sha256: str
    licence: str
    card: str
    summary: str

    @property
    def path(self) -> Traversable:
        """The file inside the package."""
        return files(ASSETS_PACKAGE) / self.file


@cache
def bundled_weights() -> Mapping[str, WeightsEntry]:
    """Every checkpoint that ships with the package, by name."""
    listing = files(ASSETS_PACKAGE) / "weights.json"
    if not listing.is_file():
        return MappingProxyType({})
    entries = json.loads(listing.read_text(encoding="utf-8"))
    return MappingProxyType({name: WeightsEntry(name=name, **entry) for name, entry in entries.items()})


def find_weights(name: str) -> WeightsEntry:
    """The entry called ``name``. Raises: WeightsMissingError."""
    entry = bundled_weights().get(name)
    if entry is None:
        known = ", ".join(sorted(bundled_weights())) or "none"
        raise WeightsMissingError(f"there are no weights called {name!r}", f"bundled are: {known}", subject=name)
    return entry
