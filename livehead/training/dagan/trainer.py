"""Training of the published DaGAN: key points and generator against a critic, with frozen face depth.

The run folder holds ``latest.pth.tar`` (which ``livehead weights import`` takes), ``train.csv``, ``val.csv``,
``curves.png`` and ``sheets/``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from livehead.frames import Image
from livehead.models.dagan.depth import FaceDepthNetwork
from livehead.training.adversarial import adversarial_losses, critic_loss
from livehead.training.batches import iterate_batches
from livehead.training.curves import plot_training_curves
from livehead.training.dagan.equivariance import EquivarianceTransform
from livehead.training.dagan.frame_sampler import FramePairBatch, FrameSampler
from livehead.training.dagan.losses import (
    equivariance_losses,
    keypoint_separation,
    loss_weights,
    multiscale_gradient_loss,
)
from livehead.training.dagan.perceptual_loss import PerceptualLoss, load_vgg19
from livehead.training.dagan.recipe import DaganRecipe
from livehead.training.dagan.state import (
    CHECKPOINT,
    DaganForwardOutput,
    DaganTrainingState,
    load_state,
    new_state,
    read_face_depth,
    save_state,
)
from livehead.training.distributed import (
    ProcessGroupInfo,
    average_batch_norm_statistics,
    open_process_group,
    wrap_ddp,
)
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.losses import psnr
from livehead.training.optimization import set_learning_rate, take_optimiser_step
from livehead.training.recipe import read_recipe_as
from livehead.training.run_log import RunLog
from livehead.training.sheets import save_sheet, tile_columns

log = logging.getLogger(__name__)

EXAMPLE_CONFIG = "configs/train/dagan.toml"
_LOSS_TERMS = ("likeness", "adversarial", "matching", "value", "jacobian", "distance")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_LOSS_TERMS, "critic", "gamma", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "psnr", "l1")
_VAL_CLIPS, _VAL_FRAMES, _SHEET_ROWS = 8, 8, 8

ImageLoss = Callable[[Tensor, Tensor], Tensor]


def run(
    data: Path,
    config: Path,
    out: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    vgg: Path | None = None,
    depth: Sequence[Path] = (),
) -> None:
    """Train DaGAN from the clips in ``data`` (see ``clip_files``) by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out``; ``init`` starts from a checkpoint of any such run or the published one; ``vgg``
    takes the place of the recipe's; ``depth`` names the files of face depth, without which the imported one is used.
    SIGTERM or SIGINT end the run early, with a checkpoint.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_recipe_as(DaganRecipe, config, EXAMPLE_CONFIG)
    with open_process_group() as process:
        sampler = FrameSampler(data, "train", recipe.side, process.rank, process.world_size)
        face_depth = read_face_depth(depth).to(process.device)
        image_loss = _build_image_loss(recipe, vgg or recipe.vgg, process)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, process.device, init)
        if resume:
            load_state(state, out / CHECKPOINT)
        trainer = DaganTrainer(recipe, sampler, out, process, state, face_depth, image_loss)
        if process.is_main:
            trainer.held_out = FrameSampler(data, "val", recipe.side).held_out_pairs(_VAL_FRAMES, _VAL_CLIPS)
        intervals = TrainingIntervals(recipe.checkpoint_every, recipe.validate_every)
        TrainingLoop(process, intervals).train(trainer, trainer.total)


def _build_image_loss(recipe: DaganRecipe, vgg: Path | None, process: ProcessGroupInfo) -> ImageLoss:
    """The perceptual loss of VGG-19 if its file is named; else the multi-scale gradient loss, and one line says so."""
    if vgg is not None:
        return PerceptualLoss(load_vgg19(vgg), recipe.scales).to(process.device)
    if process.is_main:
        log.info("no VGG-19 named (--vgg FILE): likeness by multi-scale gradients and the critic's features instead")
    return multiscale_gradient_loss


class DaganTrainer:
    """One process' share of a run: a ``ModelTrainer``."""

    def __init__(
        self,
        recipe: DaganRecipe,
        sampler: FrameSampler,
        out: Path,
        process: ProcessGroupInfo,
        state: DaganTrainingState,
        depth: FaceDepthNetwork,
        image_loss: ImageLoss,
    ) -> None:
        self.recipe, self.out, self.process, self.state = recipe, out, process, state
        make = partial(sampler.sample_pairs, recipe.batch)
        self.batches = iterate_batches(make, (recipe.seed, process.rank), state.step, recipe.workers)
        self.depth, self.image_loss = depth, image_loss
        self.held_out: list[tuple[str, FramePairBatch]] = []
        self.total = recipe.total_samples(sampler.persons)
        has_vgg = isinstance(image_loss, PerceptualLoss)
        self.loss_weights = loss_weights(recipe.loss, recipe.sizes.critic.blocks, has_vgg)
        self.wrapped_model = wrap_ddp(state.model, process, sync_batch_norm=True)
        self.train_log = RunLog(out / "train.csv" if process.is_main else None, _TRAIN_COLUMNS)
        self.val_log = RunLog(out / "val.csv" if process.is_main else None, _VAL_COLUMNS)

    @property
    def progress(self) -> DaganTrainingState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """Train key points and generator on one batch, then the critic on the same pictures."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.process.rank, state.step)
        pair = next(self.batches).to(self.process.device)
        rate = recipe.rate_at(state.samples, self.total)
        for optimiser in (state.optimiser, state.critic_optimiser):
            set_learning_rate(optimiser, rate)
        output, terms = self._generator_losses(pair, _draw_deformation(recipe.batch, seed, self.process.device))
        weighted = (self.loss_weights[name] * value for name, value in terms.items())
        loss = sum(weighted, torch.zeros((), device=self.process.device))
        norm = take_optimiser_step(state.optimiser, state.model, loss, recipe.clip or math.inf)
        average_batch_norm_statistics(state.model, self.process)
        critic = self._train_critic(output, pair.driving)
        state.step += 1
        state.samples += recipe.batch * self.process.world_size
        if self.process.is_main and state.step % recipe.log_every == 0:
            row = {name: float(value.detach()) for name, value in terms.items()} | state.progress_row()
            row |= {"rate": rate, "loss": float(loss.detach()), "critic": critic, "norm": norm}
            row["gamma"] = float(state.model.generator.attention.gamma.detach())
            self.train_log.append_row(row)

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.out / CHECKPOINT)

    def validate(self) -> None:
        """Log PSNR and L1 of held-out clips, at first also the unmoved source's; write a sheet and draw the curves."""
        models = ("copy", "model") if self.state.step == 0 else ("model",)
        for name in models:
            figures, sheets = self.evaluate(name)
            self.val_log.append_row({"model": name, **figures, **self.state.progress_row()})
            save_sheet(self.out, self.state.samples, sheets)
        plot_training_curves(self.out, _LOSS_TERMS, ["psnr"])

    @torch.no_grad()
    def evaluate(self, model_name: str) -> tuple[dict[str, float], list[Image]]:
        """Means over the held-out clips, and a sample row of each; the model ``copy`` answers with the source."""
        figures: list[tuple[float, float]] = []
        sheets: list[Image] = []
        self.state.model.eval()
        for _, pair in self.held_out:
            pair = pair.to(self.process.device)
            image = pair.source
            if model_name == "model":
                seen = [self._append_disparity(picture) for picture in pair]
                with torch.autocast(self.process.device.type, torch.bfloat16):
                    output = self.state.model(*seen).generator_output
                image = output.image
                columns = (pair.source, pair.driving, image, output.deformed, output.field.occlusion, seen[0][:, 3:])
                sheets.append(tile_columns([column[-1:] for column in columns]))
            figures.append((float(psnr(image, pair.driving).mean()), float((image - pair.driving).abs().mean())))
        self.state.model.train()
        if not figures:
            return {}, []
        return dict(zip(("psnr", "l1"), np.mean(figures, axis=0).tolist(), strict=True)), sheets[:_SHEET_ROWS]

    def _generator_losses(
        self, pair: FramePairBatch, deformation: EquivarianceTransform
    ) -> tuple[DaganForwardOutput, dict[str, Tensor]]:
        """One forward pass, and the terms of the loss, not yet weighted."""
        deformed = deformation.warp_image(pair.driving)
        seen = [self._append_disparity(picture) for picture in (*pair, deformed)]
        with torch.autocast(self.process.device.type, torch.bfloat16):
            output: DaganForwardOutput = self.wrapped_model(*seen)
        image, points, deformed_points = output.generator_output.image, output.driving_points, output.deformed_points
        assert deformed_points is not None, "the model was given a deformed picture"
        value, jacobian = equivariance_losses(points, deformed_points, deformation)
        apart = self.recipe.loss.apart
        terms = adversarial_losses(self.state.critic, image, pair.driving, points.value)
        terms |= {"likeness": self.image_loss(image, pair.driving), "value": value, "jacobian": jacobian}
        terms["distance"] = keypoint_separation(output.source_points.value, apart)
        terms["distance"] = terms["distance"] + keypoint_separation(points.value, apart)
        return output, terms

    def _train_critic(self, forward_output: DaganForwardOutput, real: Tensor) -> float:
        """Train the critic by one step; returns its loss."""
        critic, image = self.state.critic, forward_output.generator_output.image
        loss = critic_loss(critic, image, real, forward_output.driving_points.value)
        take_optimiser_step(self.state.critic_optimiser, critic, loss, share=True)
        return float(loss.detach())

    @torch.no_grad()
    def _append_disparity(self, picture: Tensor) -> Tensor:
        """The detector's input [B, 4, S, S]: RGB and disparity."""
        with torch.autocast(self.process.device.type, torch.bfloat16):
            disparity = self.depth(picture)
        return torch.cat([picture, disparity], dim=1)


def _draw_deformation(batch: int, seed: tuple[int, ...], device: torch.device) -> EquivarianceTransform:
    """Draw the random deformation of a step, the same one for the same seed on any device."""
    number = int(np.random.default_rng((*seed, 1)).integers(2**62))
    drawn = EquivarianceTransform.sample_random(batch, torch.Generator().manual_seed(number))
    return EquivarianceTransform(drawn.affine.to(device), drawn.bending.to(device))
