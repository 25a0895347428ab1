"""The curves of a run: its logs as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livehead.storage import replace_file
from livehead.training.run_log import read_rows

_BASELINES = (("untrained", "--"), ("copy", ":"))
"""Models that are measured once, at the beginning, and drawn as level lines."""


def plot_training_curves(
    folder: Path, loss_terms: Sequence[str], metrics: Sequence[str], trained: str = "model"
) -> None:
    """Draw ``curves.png`` of a run folder: the ``loss_terms``, and each of the ``metrics`` on held-out clips.

    ``trained`` is the name of the trained model in ``val.csv``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, val = (read_rows(folder / f"{name}.csv") for name in ("train", "val"))
    width = 5 * (1 + len(metrics))
    figure, axes = pyplot.subplots(1, 1 + len(metrics), figsize=(width, 4), layout="constrained")
    for name in loss_terms:
        axes[0].plot(*_column_series(train, name), label=name, linewidth=0.8)
    axes[0].set(yscale="log", title="training loss", xlabel="samples")
    axes[0].legend()
    for axis, metric in zip(axes[1:], metrics, strict=True):
        _plot_metric(axis, val, metric, trained)
    with replace_file(folder / "curves.png", suffix=".png") as partial:
        figure.savefig(partial, dpi=90)
    pyplot.close(figure)


def _plot_metric(axis: Any, rows: list[dict[str, str]], metric: str, trained: str) -> None:
    series = _column_series([row for row in rows if row["model"] == trained], metric)
    axis.plot(*series, "-o", markersize=3, label=trained)
    for model, style in _BASELINES:
        known = [row[metric] for row in rows if row["model"] == model and row[metric]]
        if known:
            axis.axhline(float(known[0]), linestyle=style, label=model)
    axis.set(title=f"held-out {metric}", xlabel="samples")
    axis.legend()


def _column_series(rows: list[dict[str, str]], name: str) -> tuple[list[float], list[float]]:
    known = [row for row in rows if row.get(name)]
    return [float(row["samples"]) for row in known], [float(row[name]) for row in known]
