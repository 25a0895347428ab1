"""Sample sheets of a run: pictures in rows and columns, in PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.frames import Image
from livehead.storage import replace_file


def tile_columns(columns: Sequence[Tensor]) -> Image:
    """Pictures [B, 3 or 1, S, S] in [0, 1], a column each, as one uint8 RGB image; smaller ones are enlarged."""
    side = max(column.shape[-1] for column in columns)
    planes = [column.detach().float().cpu().expand(-1, 3, -1, -1) for column in columns]
    planes = [x if x.shape[-1] == side else F.interpolate(x, (side, side), mode="nearest") for x in planes]
    sheet = torch.cat([torch.cat(list(column), dim=1) for column in planes], dim=2)
    return np.asarray((sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy(), np.uint8)


def save_sheet(run_folder: Path, samples: int, rows: Sequence[Image]) -> None:
    """Stack rows of equal width into ``sheets/SAMPLES.png`` of a run folder; without rows nothing is written."""
    if rows:
        folder = run_folder / "sheets"
        folder.mkdir(exist_ok=True)
        with replace_file(folder / f"{samples:08d}.png", suffix=".png") as partial:
            cv2.imwrite(str(partial), np.concatenate(rows)[..., ::-1])
