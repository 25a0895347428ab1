"""What every device check tells at its end: figures as JSON, on the terminal and in a file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EXIT_CANNOT_RUN = 3
"""The exit status of a check that lacks a program or a right here, so that nothing was measured."""


def write_report(report: dict[str, Any], path: Path | None) -> None:
    """Print ``report`` as JSON, and write it to ``path`` if there is one."""
    text = json.dumps(report, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n")


def summarize_ages(ages_ms: Iterable[float]) -> dict[str, float]:
    """Median, 95th percentile and number of times in milliseconds, of which there must be at least one."""
    ages = sorted(ages_ms)
    return {
        "median": round(statistics.median(ages), 1),
        "p95": round(ages[int(len(ages) * 0.95)], 1),
        "n": len(ages),
    }
