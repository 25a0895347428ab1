"""Training of face depth without labels, from neighbouring frames: the published model's first stage.

The run folder holds ``latest.pth.tar`` (which ``livehead weights import`` and ``livehead train dagan --depth`` take),
``train.csv``, ``val.csv``, ``curves.png`` and ``sheets/``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from livehead.training.batches import iterate_batches
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
from livehead.training.recipe import read_recipe_as
from livehead.training.run_log import RunLog
from livehead.training.sheets import plot_training_curves, save_sheet, tile_columns

EXAMPLE_CONFIG = "configs/train/depth.toml"
_LOSS_TERMS = ("photometric", "smoothness")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_LOSS_TERMS, "still", "focal", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "photometric", "still", "focal")
_VAL_CLIPS, _VAL_FRAMES, _SHEET_ROWS = 8, 4, 8


def run(data: Path, config: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> None:
    """Train from the clips in ``data`` (``footage``) by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out``; ``init`` starts from a checkpoint of any such run. Ends early, with a checkpoint,
    on SIGTERM or SIGINT.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_recipe_as(DepthRecipe, config, EXAMPLE_CONFIG)
    with open_process_group() as place:
        source = FrameSampler(data, "train", recipe.side, place.rank, place.world_size)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, recipe.layers, out / CHECKPOINT)
        trainer = DepthTrainer(recipe, source, out, place, state)
        if place.is_main:
            trainer.held_out = FrameSampler(data, "val", recipe.side).held_out_triplets(_VAL_FRAMES, _VAL_CLIPS)
        TrainingLoop(place, TrainingIntervals(recipe.checkpoint_every, recipe.validate_every)).train(
            trainer, trainer.total
        )


class DepthTrainer:
    """One process' share of a run: a ``loop.Subject``."""

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
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if process.is_main else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if process.is_main else None

    @property
    def progress(self) -> DepthTrainingState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """One batch of triplets."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.process.rank, state.step)
        triplet = next(self.batches).to(self.process.device)
        rate = recipe.rate_at(state.samples, self.total)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.process.device.type, torch.bfloat16):
            sight = self.wrapped_model(triplet.augmented)
        dither = torch.Generator().manual_seed(int(np.random.default_rng((*seed, 1)).integers(2**62)))
        terms = depth_losses(
            triplet.original[:, 1], sight.disparities, neighbour_views(sight, triplet.original), dither
        )
        loss = terms.photometric + recipe.smoothness * terms.smoothness
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip or float("inf"))
        if torch.isfinite(norm):
            state.optimiser.step()
        average_batch_norm_statistics(state.model, self.process)
        state.step += 1
        state.samples += recipe.batch * self.process.world_size
        if self.train_log is not None and state.step % recipe.log_every == 0:
            self.train_log.append_row(
                self._metric_row(terms, sight) | {"rate": rate, "loss": float(loss.detach()), "norm": float(norm)}
            )

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.recipe.layers, self.out / CHECKPOINT)

    @torch.no_grad()
    def validate(self) -> None:
        """The photometric error of held-out triplets, a sheet, the curves."""
        rows, sheets = [], []
        self.state.model.eval()
        for _, triplet in self.held_out:
            triplet = triplet.to(self.process.device)
            with torch.autocast(self.process.device.type, torch.bfloat16):
                sight = self.state.model(triplet.augmented)
            views = neighbour_views(sight, triplet.original)
            rows.append(self._metric_row(depth_losses(triplet.original[:, 1], sight.disparities, views, None), sight))
            sheets.append(_sheet_row(triplet, sight, views))
        self.state.model.train()
        means = {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else ())}
        when = {"samples": self.state.samples, "seconds": self.state.seconds}
        self.val_log.append_row(means | when | {"model": "model"})
        if sheets:
            (self.out / "sheets").mkdir(exist_ok=True)
            save_sheet(self.out / "sheets" / f"{self.state.samples:08d}.png", sheets[:_SHEET_ROWS])
        plot_training_curves(self.out, _LOSS_TERMS, "photometric")

    def _metric_row(self, terms: DepthTerms, depth_output: DepthOutput) -> dict[str, float]:
        figures = {name: float(value.detach()) for name, value in terms._asdict().items()}
        figures["focal"] = float(depth_output.pose_after.intrinsics[:, 0, 0].detach().mean())
        return figures | {"samples": self.state.samples, "seconds": self.state.seconds}


def neighbour_views(depth_output: DepthOutput, frames: Tensor) -> list[NeighbourView]:
    """Both neighbours of the middle one of ``frames`` [B, 3, 3, S, S], as the pose network sees the camera move."""
    side = frames.shape[-1]
    return [
        NeighbourView(
            frames[:, place], camera_motion(*pose.motion, earlier=place == 0), scale_intrinsics(pose.intrinsics, side)
        )
        for place, pose in ((0, depth_output.pose_before), (2, depth_output.pose_after))
    ]


def _sheet_row(triplet: FrameTripletBatch, depth_output: DepthOutput, views: list[NeighbourView]) -> np.ndarray:
    """Frame, disparity over its range, the next frame, and that seen from the frame, of the first triplet."""
    disparity = depth_output.disparities[0]
    low, high = disparity.amin(dim=(1, 2, 3), keepdim=True), disparity.amax(dim=(1, 2, 3), keepdim=True)
    columns = (
        triplet.original[:, 1],
        (disparity - low) / (high - low).clamp_min(1e-6),
        triplet.original[:, 2],
        warp_to_frame(disparity, views[1]),
    )
    return tile_columns([column[:1] for column in columns])
