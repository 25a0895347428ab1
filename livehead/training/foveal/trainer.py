"""Training of the foveal network: one process on CPU (bf16) or GPU, or several under ``torchrun``.

The run folder holds ``latest.pt`` (all that is needed to go on), ``train.csv``, ``val.csv``, ``curves.png`` and
``sheets/``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor

from livehead.models.foveal.curve_warp import band_coordinate
from livehead.models.foveal.network import MAX_REFERENCES, FovealOutput
from livehead.models.foveal.patch_frame import MOUTH, RIGHT_EYE
from livehead.training.curves import plot_training_curves
from livehead.training.distributed import ProcessGroupInfo, open_process_group, wrap_ddp
from livehead.training.foveal.critic import PatchAdversary
from livehead.training.foveal.losses import patch_losses, total_patch_loss
from livehead.training.foveal.patch_sampler import PatchBatch, PatchSampler
from livehead.training.foveal.perceptual import load_perceptual_distance
from livehead.training.foveal.recipe import EXAMPLE_CONFIG, FovealPhase, FovealRecipe, read_foveal_recipe
from livehead.training.foveal.state import FovealTrainingState, new_foveal_state
from livehead.training.foveal.validation import FIGURES, measure_patches, move_batch
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.optimization import set_learning_rate, take_optimiser_step
from livehead.training.run_log import RunLog
from livehead.training.sheets import save_sheet

log = logging.getLogger(__name__)

_LOSS_TERMS = ("image", "texture", "jitter", "invented")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_LOSS_TERMS, "perceptual", "adversarial", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", *FIGURES)
_VAL_FRAMES, _SHEET_ROWS = 8, 12
_CROP = 48  # pixels of the piece of a mouth that the perceptual loss sees
_CHECKS = ((MOUTH, 1, "photo"), (MOUTH, MAX_REFERENCES, "enrolled"), (RIGHT_EYE, 1, "eye"))


def run(data: Path, config: Path, out: Path, *, resume: bool, init: Path | None, perceptual: Path | None) -> None:
    """Train from the cache ``data`` by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out/latest.pt``; ``init`` starts from weights with a new optimiser; ``perceptual`` is the
    file of LPIPS' weights, without which that loss is left out. SIGTERM or SIGINT end the run early, with a checkpoint.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_foveal_recipe(config)
    with open_process_group() as process:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_foveal_state(recipe, process.device, init)
        if resume:
            state.load(out / "latest.pt", PatchAdversary)
        FovealTrainer(recipe, data, out, process, state, perceptual).run()


class FovealTrainer:
    """One process' share of a run: a ``ModelTrainer`` whose recipe has several phases."""

    def __init__(
        self,
        recipe: FovealRecipe,
        data: Path,
        out: Path,
        process: ProcessGroupInfo,
        state: FovealTrainingState,
        perceptual: Path | None,
    ) -> None:
        self.recipe, self.out, self.process, self.state = recipe, out, process, state
        self.wrapped_model = wrap_ddp(state.model, process)
        self.perceptual = load_perceptual_distance(perceptual).to(process.device) if perceptual else None
        self.sampler = PatchSampler(data, "train")
        held_out = PatchSampler(data, "val") if process.is_main else None
        self.checks = [
            (name, held_out.held_out_batches(part, _VAL_FRAMES, references))
            for part, references, name in _CHECKS
            if held_out is not None
        ]
        self.loop = TrainingLoop(process, TrainingIntervals(recipe.checkpoint_every, recipe.validate_every))
        self.train_log = RunLog(out / "train.csv" if process.is_main else None, _TRAIN_COLUMNS)
        self.val_log = RunLog(out / "val.csv" if process.is_main else None, _VAL_COLUMNS)

    @property
    def progress(self) -> FovealTrainingState:
        """How far the run is."""
        return self.state

    def run(self) -> None:
        """Train to the end of the recipe, or to a signal."""
        self.loop.train(self, self.recipe.total_samples)
        if self.process.is_main:
            plot_training_curves(self.out, _LOSS_TERMS, FIGURES, trained="enrolled")
            log.info("stopped after %d samples", self.state.samples)

    def save(self) -> None:
        """Write ``latest.pt``."""
        self.state.save(self.out / "latest.pt")

    def step(self) -> None:
        """Train on one batch of mouths and one of eyes."""
        state, recipe = self.state, self.recipe
        phase, done = recipe.phase_at(state.samples)
        rate = phase.rate * (phase.last_rate / phase.rate) ** done * min(1.0, (state.samples + 1) / recipe.warm_up)
        set_learning_rate(state.optimiser, rate)
        seed, pairs = (recipe.seed, self.process.rank, state.step), phase.batch // 2
        row = self._progress_row() | {"rate": rate}
        loss = torch.zeros((), device=self.process.device)
        for part in (self.sampler.sample_mouths(pairs, seed), self.sampler.sample_eyes(pairs, seed)):
            batch = move_batch(part, self.process.device)
            with torch.autocast(self.process.device.type, torch.bfloat16):
                output = self.wrapped_model(batch.drawn, batch.shape, batch.references, batch.is_eye)
            terms = patch_losses(output, batch, recipe.loss)
            loss = loss + total_patch_loss(terms, recipe.loss) + self._looks_loss(output, batch, phase, row)
            row |= {name: row.get(name, 0.0) + float(value.detach()) for name, value in terms.items()}
        norm = take_optimiser_step(state.optimiser, state.model, loss, recipe.clip)
        state.average.update(state.model)
        state.step += 1
        state.samples += phase.batch * self.process.world_size
        if self.process.is_main and state.step % recipe.log_every == 0:
            self.train_log.append_row(row | {"loss": float(loss.detach()), "norm": norm})

    def _looks_loss(self, output: FovealOutput, batch: PatchBatch, phase: FovealPhase, row: dict[str, float]) -> Tensor:
        """The perceptual and the adversarial share of the loss; the critic takes a step of its own."""
        total = output.image.new_zeros(())
        if phase.perceptual > 0 and self.perceptual is not None:
            ours, theirs = cut_pieces(output.image, batch.truth, _CROP, self.state.step)
            distance = self.perceptual(ours, theirs)
            row["perceptual"] = row.get("perceptual", 0.0) + float(distance.detach())
            total = total + phase.perceptual * distance
        if phase.adversarial > 0:
            if self.state.adversary is None:
                torch.manual_seed(self.recipe.seed)  # the same critic in every process
                self.state.adversary = PatchAdversary(self.process.device)
            bands = band_coordinate(batch.shape, batch.truth.shape[-2])
            unreal = self.state.adversary.generator_loss(output.image, bands)
            self.state.adversary.train_step(output.image, batch.truth, bands)
            row["adversarial"] = row.get("adversarial", 0.0) + float(unreal.detach())
            total = total + phase.adversarial * unreal
        return total

    def validate(self) -> None:
        """Log the figures of held-out clips and write a sheet; before the first step also those of what is drawn."""
        average, device = self.state.average.module, self.process.device
        sheet = []
        for name, batches in self.checks:
            if self.state.step == 0:
                self._log_validation(f"drawn {name}", measure_patches(None, batches, device)[0])
            figures, rows = measure_patches(average, batches, device)
            self._log_validation(name, figures)
            if name == "enrolled":
                sheet = rows
        save_sheet(self.out, self.state.samples, sheet[:_SHEET_ROWS])

    def _log_validation(self, model_name: str, figures: dict[str, float]) -> None:
        self.val_log.append_row({"model": model_name, **figures, **self._progress_row()})

    def _progress_row(self) -> dict[str, float]:
        return dict(self.state.progress_row())


def cut_pieces(output: Tensor, truth: Tensor, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same piece of ``side`` pixels out of both batches of patches, at a place that ``seed`` decides."""
    height, width = output.shape[-2:]
    place = torch.Generator().manual_seed(seed)
    top = int(torch.randint(max(height - side, 0) + 1, (1,), generator=place))
    left = int(torch.randint(max(width - side, 0) + 1, (1,), generator=place))
    where = (..., slice(top, top + side), slice(left, left + side))
    return output[where], truth[where]


def main() -> None:
    """The command line of ``python -m livehead.training.foveal``."""
    parser = argparse.ArgumentParser(
        prog="python -m livehead.training.foveal",
        description="Train the foveal network, on several GPUs with torchrun.",
    )
    add = parser.add_argument
    config, out = Path(EXAMPLE_CONFIG), Path("runs/foveal")
    add("--data", type=Path, required=True, help="the cache of patches that scripts/prepare_foveal.py made")
    add("--config", type=Path, default=config, help="the recipe (default: %(default)s)")
    add("--out", type=Path, default=out, help="the folder for checkpoints, logs and sheets (default: %(default)s)")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--init", type=Path, help="a safetensors file of weights to start from; without it they are random")
    add(
        "--perceptual",
        type=Path,
        help="LPIPS' weights from scripts/convert_lpips.py; without them that loss is left out",
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    run(given.data, given.config, given.out, resume=given.resume, init=given.init, perceptual=given.perceptual)
