"""How one published network is built here and how its keys are called on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Layout:
    """How one published network is built and read: ``renames`` (theirs, ours), keys to be ``ignored`` (a pattern).

    ``wrapper``: a pattern of what some files put before the published keys.
    """

    build: Callable[[], nn.Module]
    renames: tuple[tuple[str, str], ...] = ()
    ignored: str = r"$^"
    wrapper: str = r"$^"

    def ours(self, key: str) -> str:
        """Our name of a published key; the first prefix that fits counts."""
        key = re.sub(self.wrapper, "", key)
        for theirs, ours in self.renames:
            if key.startswith(theirs):
                return ours + key.removeprefix(theirs)
        return key

    def theirs(self, key: str) -> str:
        """The inverse of ``ours``."""
        for theirs, ours in self.renames:
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        return key


def later(make: Callable[..., nn.Module], *arguments: Any) -> Callable[[], nn.Module]:
    """``make`` with its arguments, to be built when it is asked for."""
    return lambda: make(*arguments)
