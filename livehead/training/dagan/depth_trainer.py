"""Training of face depth without labels, from neighbouring frames: the published model's first stage.

The run folder holds ``latest.pth.tar`` (which ``livehead weights import`` and ``livehead train dagan --depth`` take),
``train.csv``, ``val.csv``, ``curves.png`` and ``sheets/``.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from livehead.frames import Image
from livehead.training.batches import iterate_batches
from livehead.training.curves import plot_training_curves
from livehead.training.dagan.depth_losses import (
    DepthTerms,
    NeighbourView,
    camera_motion,
    depth_losses,
    scale_intrinsics,
    warp_to_frame,
)
from livehead.training.dagan.depth_state import (
    CHECKPOINT,
    DepthOutput,
    DepthTrainingState,
    load_state,
    new_state,
    save_state,
)
from livehead.training.dagan.frame_sampler import FrameSampler, FrameTripletBatch
from livehead.training.dagan.recipe import DepthRecipe
from livehead.training.distributed import ProcessGroupInfo, average_batch_norm_statistics, open_process_group, wrap_ddp
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.optimization import set_learning_rate, take_optimiser_step
from livehead.training.recipe import read_recipe_as
from livehead.training.run_log import RunLog
from livehead.training.sheets import save_sheet, tile_columns

EXAMPLE_CONFIG = "configs/train/depth.toml"
_LOSS_TERMS = ("photometric", "smoothness")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_LOSS_TERMS, "still", "focal", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "photometric", "still", "focal")
_VAL_CLIPS, _VAL_FRAMES, _SHEET_ROWS = 8, 4, 8


def run(data: Path, config: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> None:
    """Train face depth from the clips in ``data`` (see ``clip_files``) by the recipe ``config`` into ``out``.

    ``resume`` goes on from ``out``; ``init`` starts from a checkpoint of any such run. SIGTERM or SIGINT end the run
    early, with a checkpoint.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_recipe_as(DepthRecipe, config, EXAMPLE_CONFIG)
    with open_process_group() as process:
        sampler = FrameSampler(data, "train", recipe.side, process.rank, process.world_size)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, process.device, init)
        if resume:
            load_state(state, recipe.layers, out / CHECKPOINT)
        trainer = DepthTrainer(recipe, sampler, out, process, state)
        if process.is_main:
            trainer.held_out = FrameSampler(data, "val", recipe.side).held_out_triplets(_VAL_FRAMES, _VAL_CLIPS)
        intervals = TrainingIntervals(recipe.checkpoint_every, recipe.validate_every)
        TrainingLoop(process, intervals).train(trainer, trainer.total)


class DepthTrainer:
    """One process' share of a run: a ``ModelTrainer``."""

    def __init__(
        self,
        recipe: DepthRecipe,
        sampler: FrameSampler,
        out: Path,
        process: ProcessGroupInfo,
        state: DepthTrainingState,
    ) -> None:
        self.recipe, self.out, self.process, self.state = recipe, out, process, state
        make = partial(sampler.sample_triplets, recipe.batch)
        self.batches = iterate_batches(make, (recipe.seed, process.rank), state.step, recipe.workers)
        self.held_out: list[tuple[str, FrameTripletBatch]] = []
        self.total = recipe.total_samples(sampler.persons)
        self.wrapped_model = wrap_ddp(state.model, process, sync_batch_norm=True)
        self.train_log = RunLog(out / "train.csv" if process.is_main else None, _TRAIN_COLUMNS)
        self.val_log = RunLog(out / "val.csv" if process.is_main else None, _VAL_COLUMNS)

    @property
    def progress(self) -> DepthTrainingState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """Train on one batch of triplets."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.process.rank, state.step)
        triplet = next(self.batches).to(self.process.device)
        rate = recipe.rate_at(state.samples, self.total)
        set_learning_rate(state.optimiser, rate)
        with torch.autocast(self.process.device.type, torch.bfloat16):
            output: DepthOutput = self.wrapped_model(triplet.augmented)
        dither = torch.Generator().manual_seed(int(np.random.default_rng((*seed, 1)).integers(2**62)))
        views = neighbour_views(output, triplet.original)
        terms = depth_losses(triplet.original[:, 1], output.disparities, views, dither)
        loss = terms.photometric + recipe.smoothness * terms.smoothness
        norm = take_optimiser_step(state.optimiser, state.model, loss, recipe.clip or math.inf)
        average_batch_norm_statistics(state.model, self.process)
        state.step += 1
        state.samples += recipe.batch * self.process.world_size
        if self.process.is_main and state.step % recipe.log_every == 0:
            row = {"rate": rate, "loss": float(loss.detach()), "norm": norm}
            self.train_log.append_row(self._metric_row(terms, output) | row)

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.recipe.layers, self.out / CHECKPOINT)

    @torch.no_grad()
    def validate(self) -> None:
        """Log the photometric error of held-out triplets, write a sample sheet and draw the curves."""
        rows: list[dict[str, float]] = []
        sheets: list[Image] = []
        self.state.model.eval()
        for _, triplet in self.held_out:
            triplet = triplet.to(self.process.device)
            with torch.autocast(self.process.device.type, torch.bfloat16):
                output = self.state.model(triplet.augmented)
            views = neighbour_views(output, triplet.original)
            rows.append(self._metric_row(depth_losses(triplet.original[:, 1], output.disparities, views, None), output))
            sheets.append(_sheet_row(triplet, output, views))
        self.state.model.train()
        means = {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else ())}
        self.val_log.append_row({"model": "model", **means, **self.state.progress_row()})
        save_sheet(self.out, self.state.samples, sheets[:_SHEET_ROWS])
        plot_training_curves(self.out, _LOSS_TERMS, ["photometric"])

    def _metric_row(self, terms: DepthTerms, depth_output: DepthOutput) -> dict[str, float]:
        figures = {name: float(value.detach()) for name, value in terms._asdict().items()}
        figures["focal"] = float(depth_output.pose_after.intrinsics[:, 0, 0].detach().mean())
        return figures | self.state.progress_row()


def neighbour_views(depth_output: DepthOutput, frames: Tensor) -> list[NeighbourView]:
    """Both neighbours of the middle one of ``frames`` [B, 3, 3, S, S], with the camera motion of the pose network."""
    side = frames.shape[-1]
    return [
        NeighbourView(
            frames[:, place], camera_motion(*pose.motion, earlier=place == 0), scale_intrinsics(pose.intrinsics, side)
        )
        for place, pose in ((0, depth_output.pose_before), (2, depth_output.pose_after))
    ]


def _sheet_row(triplet: FrameTripletBatch, depth_output: DepthOutput, views: list[NeighbourView]) -> Image:
    """The first triplet's frame, disparity over its range, next frame, and the next frame as seen from the frame."""
    disparity = depth_output.disparities[0]
    low, high = disparity.amin(dim=(1, 2, 3), keepdim=True), disparity.amax(dim=(1, 2, 3), keepdim=True)
    columns = (
        triplet.original[:, 1],
        (disparity - low) / (high - low).clamp_min(1e-6),
        triplet.original[:, 2],
        warp_to_frame(disparity, views[1]),
    )
    return tile_columns([column[:1] for column in columns])
