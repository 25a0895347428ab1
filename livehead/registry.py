"""Captures, drivers, renderers and sinks by name: entry points, so that a plugin's parts stand beside our own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any, Literal

from livehead.errors import ConfigError

ComponentKind = Literal["captures", "drivers", "renderers", "sinks"]


def list_names(kind: ComponentKind) -> list[str]:
    """Every registered name of ``kind``, sorted."""
    return sorted({point.name for point in entry_points(group=f"livehead.{kind}")})


def load_factory(kind: ComponentKind, name: str) -> Callable[..., Any]:
    """The factory registered as ``name``. Raises: ConfigError naming the nearest known name."""
    for point in entry_points(group=f"livehead.{kind}"):
        if point.name == name:
            factory: Callable[..., Any] = point.load()
            return factory
    raise ConfigError(f"there is no {kind[:-1]} {name!r}", f"{did_you_mean(name, list_names(kind))}", subject=name)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest of ``known``, else the whole list."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
