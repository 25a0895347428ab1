"""Figures as JSON, the same shape everywhere, and as tables on the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from livehead import __version__
from livehead.errors import ConfigError
from livehead.stats import machine_info, time_yardstick
from livehead.storage import write_atomically

TIMING_COLUMNS = ("median", "p95", "p99", "n")
"""Columns of a table of times: the keys of every summary in ms."""

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | int | bool | None"


class JsonReport:
    """The JSON of a measurement, opened before and finished after it, so that the yardstick is timed on both sides.

    Its keys are ``command``, ``version``, ``machine``, ``yardstick_ms``, ``settings`` and ``results``.
    """

    def __init__(self, command: str, settings: Mapping[str, Json], precision: str = "fp32") -> None:
        self._command = command
        self._settings = dict(settings)
        self._precision = precision
        self._yardstick_before = time_yardstick()

    def finish(self, results: Mapping[str, Json]) -> dict[str, Json]:
        """The whole report. Each yardstick is the slower of the two: what the machine was like at its busier end."""
        after = time_yardstick()
        return {
            "command": self._command,
            "version": __version__,
            "machine": machine_info(self._precision),  # type: ignore[dict-item]
            "yardstick_ms": {name: max(before, after[name]) for name, before in self._yardstick_before.items()},
            "settings": self._settings,
            "results": dict(results),
        }


def write_json(report: Mapping[str, Json], path: Path) -> None:
    """Write ``report``; figures that do not exist (NaN, infinite) become null, as JSON has no other way to say so.

    Raises: ConfigError when the file cannot be written.
    """
    text = json.dumps(_to_plain_json(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path} ({error.strerror})", "give --json a file in a folder that exists", subject=str(path)
        ) from error


def format_table(rows: Mapping[str, Mapping[str, float]], columns: Sequence[str], corner: str = "") -> str:
    """An aligned text table with a row for each name and the given columns; a figure that is missing is a dash."""
    head = [corner, *columns]
    body = [[name, *(_format_figure(figures.get(column)) for column in columns)] for name, figures in rows.items()]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def align_line(line: Sequence[str]) -> str:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(
        [align_line(head), "  ".join("-" * width for width in widths), *(align_line(line) for line in body)]
    )


def _format_figure(value: float | None) -> str:
    """A number as text: four decimals below 1, two above; whole numbers stay whole."""
    if value is None or not math.isfinite(value):
        return "-"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _to_plain_json(value: Json) -> Json:
    """``value`` in the types that JSON has: NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): _to_plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain_json(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
