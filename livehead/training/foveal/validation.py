"""The figures of the foveal network on held-out clips, and its sample sheets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from livehead.frames import Image
from livehead.models.foveal.curve_warp import band_coordinate, warp_between_shapes
from livehead.models.foveal.network import FovealNetwork
from livehead.training.foveal.losses import inside_mask
from livehead.training.foveal.patch_sampler import PatchBatch
from livehead.training.sheets import tile_columns

_WIDE_OPEN = 0.35  # the opening of ``PatchFrame.state`` from which the inside is judged
FIGURES = ("l1", "inner_l1", "sharpness")


@torch.no_grad()
def measure_patches(
    model: FovealNetwork | None, held_out: list[tuple[str, PatchBatch]], device: torch.device
) -> tuple[dict[str, float], list[Image]]:
    """Means over clips: ``l1``, ``inner_l1`` of wide mouths or eyes, ``sharpness`` (of edges, over the truth's).

    Without a ``model`` the drawn patch itself is the answer. The sheet has one row a clip, its most open sample.
    """
    figures: list[tuple[float, float, float]] = []
    rows: list[Image] = []
    for _, batch in held_out:
        batch = move_batch(batch, device)
        image = batch.drawn
        if model is not None:
            with torch.autocast(device.type, torch.bfloat16):
                output = model(batch.drawn, batch.shape, batch.references, batch.is_eye)
            image = output.image
            rows.append(_draw_row(batch, image, output.invented))
        figures.append(_measure(image, batch))
    return dict(zip(FIGURES, np.nanmean(np.array(figures), axis=0).tolist(), strict=True)), rows


def move_batch(batch: PatchBatch, device: torch.device) -> PatchBatch:
    """The same batch on ``device``."""
    references = batch.references._replace(
        patches=batch.references.patches.to(device),
        shapes=type(batch.shape)(*(part.to(device) for part in batch.references.shapes)),
        known=batch.references.known.to(device),
        live=batch.references.live.to(device),
    )
    shape = type(batch.shape)(*(part.to(device) for part in batch.shape))
    return PatchBatch(batch.drawn.to(device), batch.truth.to(device), shape, references, batch.is_eye.to(device))


def _measure(image: Tensor, batch: PatchBatch) -> tuple[float, float, float]:
    error = (image - batch.truth).abs()
    inside = inside_mask(band_coordinate(batch.shape, image.shape[-2]))
    wide = (batch.shape.state[:, 0] > _WIDE_OPEN).nonzero()[:, 0]
    inner = float("nan")
    if len(wide):
        inner = float((error[wide] * inside[wide]).sum() / (3 * inside[wide].sum()).clamp_min(1))
    return float(error.mean()), inner, float(_edge_energy(image) / _edge_energy(batch.truth))


def _edge_energy(image: Tensor) -> Tensor:
    return (image[..., 1:] - image[..., :-1]).abs().mean() + (image[..., 1:, :] - image[..., :-1, :]).abs().mean()


def _draw_row(batch: PatchBatch, image: Tensor, invented: Tensor) -> Image:
    """Drawn, output, truth, the invented share, the first reference as it is and warped, of the most open sample."""
    which = batch.shape.state[:, 0].argmax()[None]
    count = batch.references.known.shape[1]
    first = type(batch.shape)(*(part[which * count] for part in batch.references.shapes))
    reference = batch.references.patches[which, 0]
    wanted = type(batch.shape)(*(part[which] for part in batch.shape))
    columns = [batch.drawn[which], image[which], batch.truth[which], invented[which].expand(-1, 3, -1, -1)]
    columns += [reference, warp_between_shapes(reference, first, wanted)]
    return tile_columns(columns)
