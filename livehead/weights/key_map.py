"""How one published network is built here and how its keys are called on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

TensorShapes = Mapping[str, tuple[int, ...]]
"""Of a state dict's tensors, by key."""


@dataclass(frozen=True, slots=True)
class CheckpointLayout:
    """How one published network is built and read: ``renames`` (theirs, ours), keys to be ``ignored`` (a pattern).

    ``wrapper``: a pattern of what some files put before the published keys.
    ``twins`` (a part of a key, another): tensors that were saved under both names; the second is read, or else the
    first. ``variant``: what is built for these keys of ours, where the published files may differ.
    """

    build: Callable[[], nn.Module]
    renames: tuple[tuple[str, str], ...] = ()
    ignored_keys: str = r"$^"
    key_prefix: str = r"$^"
    duplicate_keys: tuple[str, str] | None = None
    select_variant: Callable[[TensorShapes], Callable[[], nn.Module]] | None = None

    def select_builder(self, shapes: TensorShapes) -> Callable[[], nn.Module]:
        """For a state dict with these ``shapes``, by our keys."""
        return self.build if self.select_variant is None else self.select_variant(shapes)

    def drop_duplicates(self, keys: Mapping[str, object]) -> dict[str, str]:
        """The published keys to be read, and under which of their names; twins once."""
        if self.duplicate_keys is None:
            return {key: key for key in keys}
        spare, true = self.duplicate_keys
        names = {key: key.replace(spare, true) for key in keys}
        return {key: name for key, name in names.items() if key == name or name not in keys}

    def to_our_key(self, key: str) -> str:
        """Our name of a published key; the first prefix that fits counts."""
        key = re.sub(self.key_prefix, "", key)
        for theirs, ours in self.renames:
            if key.startswith(theirs):
                return ours + key.removeprefix(theirs)
        return key

    def to_official_key(self, key: str) -> str:
        """The inverse of ``ours``."""
        for theirs, ours in self.renames:
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        return key


def defer_build(make: Callable[..., nn.Module], *arguments: Any) -> Callable[[], nn.Module]:
    """``make`` with its arguments, to be built when it is asked for."""
    return lambda: make(*arguments)
