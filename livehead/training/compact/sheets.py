"""Sample sheets of ``compact``."""

from __future__ import annotations

import torch
from torch import Tensor

from livehead.frames import Image
from livehead.models.compact.types import CompactOutput
from livehead.models.grid import resize_flow
from livehead.training.compact.pair_sampler import PairBatch
from livehead.training.sheets import tile_columns


def draw_sample_rows(batch: PairBatch, output: CompactOutput, rows: int) -> Image:
    """Source, target, output, warped, generated, blend map and flow side by side, as uint8 RGB.

    Only ``rows`` pairs are drawn, those whose two pictures differ most.
    """
    side = batch.source.shape[-1]
    flow = _colour_flow(resize_flow(output.field.flow, side, side))
    columns = [batch.source, batch.target, output.image, output.warped, output.generated]
    columns += [output.alpha.expand(-1, 3, -1, -1), flow]
    apart = (batch.source - batch.target).abs().mean(dim=(1, 2, 3)).argsort(descending=True)[:rows]
    return tile_columns([column[apart] for column in columns])


def _colour_flow(flow: Tensor) -> Tensor:
    """Displacements [B, H, W, 2] as red (x) and green (y) about grey; full colour is a quarter of the picture."""
    planes = (flow.movedim(-1, 1) + 0.5).clamp(0, 1)
    return torch.cat([planes, torch.full_like(planes[:, :1], 0.5)], dim=1)
