"""What a run writes down as it goes: rows of numbers in CSV files."""

from __future__ import annotations

import csv
from pathlib import Path


class RunLog:
    """Appends rows to a CSV file with fixed columns; starts the file with them."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path, self._columns = path, columns
        if not path.exists():
            self._append_cells(columns)

    def append_row(self, values: dict[str, float | int | str]) -> None:
        """One row; a column that is not given stays empty."""
        self._append_cells([_format_cell(values.get(column, "")) for column in self._columns])

    def _append_cells(self, cells: object) -> None:
        with self._path.open("a", newline="") as out:
            csv.writer(out).writerow(cells)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Every row by its columns."""
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def _format_cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
