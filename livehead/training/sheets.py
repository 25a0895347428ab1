"""What a run looks like from outside: numbers in a CSV file, pictures in sheets."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from livehead.models.dagan.compact import CompactOutput
from livehead.models.grid import resize_flow
from livehead.training.pairs import Batch


class RunLog:
    """Appends rows to a CSV file with fixed columns; starts the file with them."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path, self._columns = path, columns
        if not path.exists():
            self._write(columns)

    def row(self, values: dict[str, float | int | str]) -> None:
        """One row; a column that is not given stays empty."""
        self._write([_short(values.get(column, "")) for column in self._columns])

    def _write(self, cells: object) -> None:
        with self._path.open("a", newline="") as out:
            csv.writer(out).writerow(cells)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def sample_rows(batch: Batch, output: CompactOutput, rows: int) -> np.ndarray:
    """Source, target, output, warped, generated, blend, flow side by side: uint8 [H, W, 3] RGB.

    ``rows`` pairs, those that are the farthest apart.
    """
    side = batch.source.shape[-1]
    flow = _flow_colours(resize_flow(output.field.flow, side, side))
    columns = [batch.source, batch.target, output.image, output.warped, output.generated]
    columns += [output.alpha.expand(-1, 3, -1, -1), flow]
    apart = (batch.source - batch.target).abs().mean(dim=(1, 2, 3)).argsort(descending=True)[:rows]
    sheet = torch.cat([torch.cat(list(column[apart]), dim=1) for column in columns], dim=2)
    return (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def save_sheet(path: Path, sheets: list[np.ndarray]) -> None:
    """Stack sheets of equal width into one PNG."""
    cv2.imwrite(str(path), np.concatenate(sheets)[..., ::-1])


def _flow_colours(flow: Tensor) -> Tensor:
    """Displacements [B, H, W, 2] as red (x) and green (y) about grey; full colour is a quarter of the picture."""
    planes = (flow.movedim(-1, 1) + 0.5).clamp(0, 1)
    return torch.cat([planes, torch.full_like(planes[:, :1], 0.5)], dim=1)
