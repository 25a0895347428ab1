"""The logs of a training run: rows of numbers in CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path


class RunLog:
    """Appends rows to a CSV file with fixed columns and begins a new file with their names.

    Without a ``path`` nothing is written: only the first of several processes keeps logs.
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...]) -> None:
        self._path, self._columns = path, columns
        if path is not None and not path.exists():
            self._append_cells(columns)

    def append_row(self, values: Mapping[str, float | str]) -> None:
        """Append one row; a column that ``values`` lacks stays empty."""
        self._append_cells(_format_cell(values.get(column, "")) for column in self._columns)

    def _append_cells(self, cells: Iterable[object]) -> None:
        if self._path is not None:
            with self._path.open("a", newline="") as out:
                csv.writer(out).writerow(cells)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Every row of a log by the names of its columns."""
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def _format_cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
