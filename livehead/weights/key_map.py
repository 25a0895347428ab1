"""How one published network is built here, and how its published keys map to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

TensorShapes = Mapping[str, tuple[int, ...]]
"""The shapes of a state dict's tensors, by key."""


@dataclass(frozen=True, slots=True)
class CheckpointLayout:
    """How one published network is built, and how its keys are read.

    ``renames``: pairs of prefixes (published, ours). ``ignored_keys``: a pattern of keys to be left out.
    ``key_prefix``: a pattern of what some files put before the published keys. ``duplicate_keys``: two alternative
    parts of a key, for tensors that were saved under both names; the second is read, or else the first.
    ``select_variant``: returns the builder for given keys of ours, where the published files differ.
    """

    build: Callable[[], nn.Module]
    renames: tuple[tuple[str, str], ...] = ()
    ignored_keys: str = r"$^"
    key_prefix: str = r"$^"
    duplicate_keys: tuple[str, str] | None = None
    select_variant: Callable[[TensorShapes], Callable[[], nn.Module]] | None = None

    def select_builder(self, shapes: TensorShapes) -> Callable[[], nn.Module]:
        """The function that builds the network for a state dict with these ``shapes``, by our keys."""
        return self.build if self.select_variant is None else self.select_variant(shapes)

    def drop_duplicates(self, keys: Mapping[str, object]) -> dict[str, str]:
        """Map every published key to be read to the name that it is saved under; duplicates are read once."""
        if self.duplicate_keys is None:
            return {key: key for key in keys}
        spare, true = self.duplicate_keys
        names = {key: key.replace(spare, true) for key in keys}
        return {key: name for key, name in names.items() if key == name or name not in keys}

    def to_our_key(self, key: str) -> str:
        """Our name of a published key, by the first prefix that matches."""
        key = re.sub(self.key_prefix, "", key)
        for theirs, ours in self.renames:
            if key.startswith(theirs):
                return ours + key.removeprefix(theirs)
        return key

    def to_official_key(self, key: str) -> str:
        """The published name of a key of ours: the inverse of ``to_our_key``."""
        for theirs, ours in self.renames:
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        return key


def defer_build(make: Callable[..., nn.Module], *arguments: Any) -> Callable[[], nn.Module]:
    """Return a function that calls ``make`` with these arguments."""
    return lambda: make(*arguments)
