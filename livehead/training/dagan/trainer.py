"""Training of the published DaGAN: key points and generator against a critic, face depth frozen.

The run folder holds ``latest.pth.tar`` (which ``livehead weights import`` takes), ``train.csv``, ``val.csv``,
``curves.png`` and ``sheets/``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from livehead.models.dagan.depth import FaceDepthNetwork
from livehead.training.adversarial import adversarial_losses, critic_loss
from livehead.training.batches import iterate_batches
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
    average_gradients,
    open_process_group,
    wrap_ddp,
)
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.losses import psnr
from livehead.training.recipe import read_recipe_as
from livehead.training.run_log import RunLog
from livehead.training.sheets import plot_training_curves, save_sheet, tile_columns

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
    """Train from the clips in ``data`` (``footage``) by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out``; ``init`` starts from a checkpoint of any such run or the published one; ``vgg``
    takes the place of the recipe's; ``depth``: files of face depth, else the imported one. Ends early, with a
    checkpoint, on SIGTERM or SIGINT.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_recipe_as(DaganRecipe, config, EXAMPLE_CONFIG)
    with open_process_group() as place:
        source = FrameSampler(data, "train", recipe.side, place.rank, place.world_size)
        face_depth = read_face_depth(depth).to(place.device)
        likeness = _build_perceptual_loss(recipe, vgg or recipe.vgg, place)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, out / CHECKPOINT)
        trainer = DaganTrainer(recipe, source, out, place, state, face_depth, likeness)
        if place.is_main:
            trainer.held_out = FrameSampler(data, "val", recipe.side).held_out_pairs(_VAL_FRAMES, _VAL_CLIPS)
        TrainingLoop(place, TrainingIntervals(recipe.checkpoint_every, recipe.validate_every)).train(
            trainer, trainer.total
        )


def _build_perceptual_loss(recipe: DaganRecipe, vgg: Path | None, process: ProcessGroupInfo) -> ImageLoss:
    """By VGG-19 where its file is named; else by gradients, and one line says so."""
    if vgg is not None:
        return PerceptualLoss(load_vgg19(vgg), recipe.scales).to(process.device)
    if process.is_main:
        log.info("no VGG-19 named (--vgg FILE): likeness by multi-scale gradients and the critic's features instead")
    return multiscale_gradient_loss


class DaganTrainer:
    """One process' share of a run: a ``loop.Subject``."""

    def __init__(
        self,
        recipe: DaganRecipe,
        sampler: FrameSampler,
        out: Path,
        process: ProcessGroupInfo,
        state: DaganTrainingState,
        depth: FaceDepthNetwork,
        perceptual_loss: ImageLoss,
    ) -> None:
        self.recipe, self.out, self.process, self.state = recipe, out, process, state
        make = partial(sampler.sample_pairs, recipe.batch)
        self.batches = iterate_batches(make, (recipe.seed, process.rank), state.step, recipe.workers)
        self.depth, self.perceptual_loss = depth, perceptual_loss
        self.held_out: list[tuple[str, FramePairBatch]] = []
        self.total = recipe.total_samples(sampler.persons)
        self.loss_weights = loss_weights(
            recipe.loss, recipe.sizes.critic.blocks, isinstance(perceptual_loss, PerceptualLoss)
        )
        self.wrapped_model = wrap_ddp(state.model, process, sync_batch_norm=True)
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if process.is_main else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if process.is_main else None

    @property
    def progress(self) -> DaganTrainingState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """Key points and generator, then the critic on the same pictures."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.process.rank, state.step)
        pair = next(self.batches).to(self.process.device)
        rate = recipe.rate_at(state.samples, self.total)
        for optimiser in (state.optimiser, state.critic_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = rate
        performance, terms = self._generator_losses(pair, _draw_deformation(recipe.batch, seed, self.process.device))
        loss = sum(self.loss_weights[name] * value for name, value in terms.items())
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip or float("inf"))
        if torch.isfinite(norm):
            state.optimiser.step()
        average_batch_norm_statistics(state.model, self.process)
        critic = self._train_critic(performance, pair.driving)
        state.step += 1
        state.samples += recipe.batch * self.process.world_size
        if self.train_log is not None and state.step % recipe.log_every == 0:
            row = {name: float(value.detach()) for name, value in terms.items()}
            row |= {"samples": state.samples, "seconds": state.seconds, "rate": rate, "loss": float(loss.detach())}
            row |= {"critic": critic, "gamma": float(state.model.generator.attention.gamma.detach())}
            self.train_log.append_row(row | {"norm": float(norm)})

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.out / CHECKPOINT)

    def validate(self) -> None:
        """PSNR and L1 of held-out clips, the source unmoved beside them at first; a sheet, the curves."""
        models = ("copy", "model") if self.state.step == 0 else ("model",)
        for name in models:
            figures, sheets = self.evaluate(name)
            self.val_log.append_row(figures | self._progress_row() | {"model": name})
            if sheets:
                (self.out / "sheets").mkdir(exist_ok=True)
                save_sheet(self.out / "sheets" / f"{self.state.samples:08d}.png", sheets)
        plot_training_curves(self.out, _LOSS_TERMS, "psnr")

    @torch.no_grad()
    def evaluate(self, model_name: str) -> tuple[dict[str, float], list[np.ndarray]]:
        """Means over the held-out clips, and one row of pictures of each; ``copy`` answers with the source."""
        figures, sheets = [], []
        self.state.model.eval()
        for _, pair in self.held_out:
            pair = pair.to(self.process.device)
            image = pair.source
            if model_name == "model":
                seen = [self._append_disparity(picture) for picture in pair]
                with torch.autocast(self.process.device.type, torch.bfloat16):
                    output = self.state.model(*seen).output
                image = output.image
                columns = (pair.source, pair.driving, image, output.deformed, output.field.occlusion, seen[0][:, 3:])
                sheets.append(tile_columns([column[-1:] for column in columns]))
            figures.append((float(psnr(image, pair.driving).mean()), float((image - pair.driving).abs().mean())))
        self.state.model.train()
        if not figures:
            return {}, []
        return dict(zip(("psnr", "l1"), np.mean(figures, axis=0).tolist(), strict=True)), sheets[:_SHEET_ROWS]

    def _progress_row(self) -> dict[str, float | int]:
        return {"samples": self.state.samples, "seconds": self.state.seconds}

    def _generator_losses(
        self, pair: FramePairBatch, deformation: EquivarianceTransform
    ) -> tuple[DaganForwardOutput, dict[str, Tensor]]:
        """One pass, and all that is lowered by it, not yet weighted."""
        deformed = deformation.warp_image(pair.driving)
        seen = [self._append_disparity(picture) for picture in (*pair, deformed)]
        with torch.autocast(self.process.device.type, torch.bfloat16):
            performance = self.wrapped_model(*seen)
        image, points = performance.output.image, performance.driving
        value, jacobian = equivariance_losses(points, performance.deformed, deformation)
        apart = self.recipe.loss.apart
        terms = adversarial_losses(self.state.critic, image, pair.driving, points.value)
        terms |= {"likeness": self.perceptual_loss(image, pair.driving), "value": value, "jacobian": jacobian}
        return performance, terms | {
            "distance": keypoint_separation(performance.source.value, apart) + keypoint_separation(points.value, apart)
        }

    def _train_critic(self, forward_output: DaganForwardOutput, real: Tensor) -> float:
        """A step of the critic; returns its loss."""
        state = self.state
        loss = critic_loss(
            state.critic, forward_output.generator_output.image, real, forward_output.driving_points.value
        )
        state.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(state.critic)
        norm = nn.utils.clip_grad_norm_(state.critic.parameters(), float("inf"))  # the same in all processes
        if torch.isfinite(norm):
            state.critic_optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def _append_disparity(self, picture: Tensor) -> Tensor:
        """What the detector looks at: RGB and disparity, [B, 4, S, S]."""
        with torch.autocast(self.process.device.type, torch.bfloat16):
            disparity = self.depth(picture)
        return torch.cat([picture, disparity], dim=1)


def _draw_deformation(batch: int, seed: tuple[int, ...], device: torch.device) -> EquivarianceTransform:
    """The same one for the same seed, on any device."""
    number = int(np.random.default_rng((*seed, 1)).integers(2**62))
    drawn = EquivarianceTransform.sample_random(batch, torch.Generator().manual_seed(number))
    return EquivarianceTransform(drawn.affine.to(device), drawn.bending.to(device))
