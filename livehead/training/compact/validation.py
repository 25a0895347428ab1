"""The figures of ``compact`` on held-out clips."""

from __future__ import annotations

import torch

from livehead.frames import Image
from livehead.models.compact.network import CompactGenerator
from livehead.training.compact.pair_sampler import PairBatch
from livehead.training.compact.sheets import draw_sample_rows
from livehead.training.losses import mouth_mask, psnr


@torch.no_grad()
def measure_model(
    model: CompactGenerator | None, held_out: list[tuple[str, PairBatch]], device: torch.device, with_torso: bool = True
) -> tuple[dict[str, float], list[Image]]:
    """Means over clips of ``psnr`` (dB), ``l1`` and ``mouth_l1``, and one sample row of each clip.

    Without a ``model`` the source itself is the answer, and there are no rows. ``with_torso`` gives the model the
    torso's motion, as far as it was tracked.
    """
    figures: list[tuple[float, float, float]] = []
    rows: list[Image] = []
    for _, batch in held_out:
        batch = batch.to(device)
        image = batch.source
        if model is not None:
            with torch.autocast(device.type, torch.bfloat16):
                torso = batch.torso if with_torso else None
                output = model(batch.source, batch.mask, batch.source_points, batch.target_points, torso)
            image = output.image.float()
            rows.append(draw_sample_rows(batch, output, 1))
        mouth = mouth_mask(batch.target_points, image.shape[-1])
        error = (image - batch.target).abs()
        in_mouth = (error * mouth).sum((1, 2, 3)) / (3 * mouth.sum((1, 2, 3))).clamp_min(1)
        figures.append((float(psnr(image, batch.target).mean()), float(error.mean()), float(in_mouth.mean())))
    means = torch.tensor(figures).mean(dim=0).tolist()
    return dict(zip(("psnr", "l1", "mouth_l1"), means, strict=True)), rows
