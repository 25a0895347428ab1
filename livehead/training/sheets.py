"""What a run looks like from outside: pictures in sheets, and its numbers as curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.models.compact.network import CompactOutput
from livehead.models.grid import resize_flow
from livehead.training.compact.pair_sampler import PairBatch
from livehead.training.run_log import read_rows


def draw_sample_rows(batch: PairBatch, output: CompactOutput, rows: int) -> np.ndarray:
    """Source, target, output, warped, generated, blend, flow side by side: uint8 [H, W, 3] RGB.

    ``rows`` pairs, those that are the farthest apart.
    """
    side = batch.source.shape[-1]
    flow = _colour_flow(resize_flow(output.field.flow, side, side))
    columns = [batch.source, batch.target, output.image, output.warped, output.generated]
    columns += [output.alpha.expand(-1, 3, -1, -1), flow]
    apart = (batch.source - batch.target).abs().mean(dim=(1, 2, 3)).argsort(descending=True)[:rows]
    return tile_columns([column[apart] for column in columns])


def tile_columns(columns: Sequence[Tensor]) -> np.ndarray:
    """Pictures [B, 3 or 1, S, S] in [0, 1], a column each, as uint8 RGB; smaller ones are enlarged."""
    side = max(column.shape[-1] for column in columns)
    planes = [column.detach().float().cpu().expand(-1, 3, -1, -1) for column in columns]
    planes = [x if x.shape[-1] == side else F.interpolate(x, (side, side), mode="nearest") for x in planes]
    sheet = torch.cat([torch.cat(list(column), dim=1) for column in planes], dim=2)
    return (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def save_sheet(path: Path, sheets: list[np.ndarray]) -> None:
    """Stack sheets of equal width into one PNG."""
    cv2.imwrite(str(path), np.concatenate(sheets)[..., ::-1])


def _colour_flow(flow: Tensor) -> Tensor:
    """Displacements [B, H, W, 2] as red (x) and green (y) about grey; full colour is a quarter of the picture."""
    planes = (flow.movedim(-1, 1) + 0.5).clamp(0, 1)
    return torch.cat([planes, torch.full_like(planes[:, :1], 0.5)], dim=1)


def plot_compact_run(folder: Path) -> None:
    """``curves.png`` of a run folder: the losses, and on held-out persons PSNR and the mouth's L1."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, val = (read_rows(folder / f"{name}.csv") for name in ("train", "val"))
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    for name in ("image", "texture", "warped", "generated"):
        axes[0].plot(*_column_series(train, name), label=name, linewidth=0.8)
    axes[0].set(yscale="log", title="training loss")
    axes[0].legend()
    for axis, name in zip(axes[1:], ("psnr", "mouth_l1"), strict=True):
        for model, style in (("average", "-o"), ("untrained", "--"), ("copy", ":")):
            rows = [row for row in val if row["model"] == model]
            if model == "average":
                axis.plot(*_column_series(rows, name), style, markersize=3, label=model)
            elif rows:
                axis.axhline(float(rows[0][name]), linestyle=style, label=model)
        axis.set(title=f"held-out {name}", xlabel="samples")
        axis.legend()
    figure.savefig(folder / "curves.png", dpi=90)
    pyplot.close(figure)


def _column_series(rows: list[dict[str, str]], name: str) -> tuple[list[float], list[float]]:
    known = [row for row in rows if row.get(name)]
    return [float(row["samples"]) for row in known], [float(row[name]) for row in known]


def plot_training_curves(folder: Path, loss_terms: Sequence[str], metric: str) -> None:
    """``curves.png`` of a run folder: ``terms`` of the loss, and ``figure`` on held-out clips beside ``copy``'s."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, val = (read_rows(folder / f"{name}.csv") for name in ("train", "val"))
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in loss_terms:
        left.plot(*_column_series(train, name), label=name, linewidth=0.8)
    left.set(yscale="log", title="training loss", xlabel="samples")
    left.legend()
    right.plot(
        *_column_series([row for row in val if row["model"] == "model"], metric), "-o", markersize=3, label="model"
    )
    for row in val[:1]:
        if row["model"] == "copy" and row[metric]:
            right.axhline(float(row[metric]), linestyle=":", label="copy")
    right.set(title=f"held-out {metric}", xlabel="samples")
    right.legend()
    canvas.savefig(folder / "curves.png", dpi=90)
    pyplot.close(canvas)
