"""Training of ``compact``: one process on CPU (bf16) or GPU, or several under ``torchrun``.

The run folder holds ``latest.pt`` (all that is needed to go on), ``train.csv``, ``val.csv``, ``curves.png`` and
``sheets/``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor

from livehead.training.compact.losses import generator_losses, total_loss
from livehead.training.compact.mouth_adversary import MouthAdversary
from livehead.training.compact.pair_sampler import AugmentationRanges, PairBatch, PairSampler
from livehead.training.compact.recipe import EXAMPLE_CONFIG, CompactRecipe, TrainingPhase, read_compact_recipe
from livehead.training.compact.state import CompactTrainingState, new_state
from livehead.training.compact.validation import measure_model
from livehead.training.curves import plot_training_curves
from livehead.training.distributed import ProcessGroupInfo, open_process_group, wrap_ddp
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.optimization import set_learning_rate, take_optimiser_step
from livehead.training.run_log import RunLog
from livehead.training.sheets import save_sheet

log = logging.getLogger(__name__)

_LOSS_TERMS = ("image", "texture", "warped", "generated")
_TRAIN_COLUMNS = ("samples", "seconds", "side", "rate", "loss", *_LOSS_TERMS, "alpha", "gamma", "norm")
_METRICS = ("psnr", "mouth_l1")
_VAL_COLUMNS = ("samples", "seconds", "side", "model", "psnr", "l1", "mouth_l1")
_VAL_FRAMES, _SHEET_ROWS = 8, 8


def run(data: Path, config: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> None:
    """Train ``compact`` from the cache ``data`` by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out/latest.pt``; ``init`` starts from weights (safetensors) with a new optimiser. SIGTERM
    or SIGINT end the run early, with a checkpoint.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_compact_recipe(config)
    with open_process_group() as process:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, process.device, init)
        if resume:
            state.load(out / "latest.pt", MouthAdversary)
        CompactTrainer(recipe, data, out, process, state).run()


class CompactTrainer:
    """One process' share of a run: a ``ModelTrainer`` whose recipe has several phases."""

    def __init__(
        self, recipe: CompactRecipe, data: Path, out: Path, process: ProcessGroupInfo, state: CompactTrainingState
    ) -> None:
        self.recipe, self.data, self.out, self.process, self.state = recipe, data, out, process, state
        self.wrapped_model = wrap_ddp(state.model, process)
        self.loop = TrainingLoop(process, TrainingIntervals(recipe.checkpoint_every, recipe.validate_every))
        self.train_log = RunLog(out / "train.csv" if process.is_main else None, _TRAIN_COLUMNS)
        self.val_log = RunLog(out / "val.csv" if process.is_main else None, _VAL_COLUMNS)

    def run(self) -> None:
        """Train phase by phase to the end of the recipe, or to a signal."""
        with self.loop.stop_on_signals():
            while self.state.samples < self.recipe.total_samples and not self.loop.stop_requested:
                phase, _ = self.recipe.phase_at(self.state.samples)
                self._run_phase(phase)
        if self.process.is_main:
            self.save()
            plot_training_curves(self.out, _LOSS_TERMS, _METRICS, trained="average")
            log.info("stopped after %d samples", self.state.samples)

    @property
    def progress(self) -> CompactTrainingState:
        """How far the run is."""
        return self.state

    def save(self) -> None:
        """Write ``latest.pt``."""
        self.state.save(self.out / "latest.pt")

    def _run_phase(self, phase: TrainingPhase) -> None:
        self.phase = phase
        self.sampler = PairSampler(self.data, "train", phase.side, self.process.rank, self.process.world_size)
        self.held_out = (
            PairSampler(self.data, "val", phase.side).held_out_batches(_VAL_FRAMES) if self.process.is_main else []
        )
        if self.state.step == 0 and self.process.is_main:
            self.validate()
        self.loop.run_steps(
            self,
            self.recipe.total_samples,
            should_continue=lambda: self.recipe.phase_at(self.state.samples)[0] is phase,
        )
        if self.process.is_main:
            self.validate()

    def _learning_rate(self, phase: TrainingPhase) -> float:
        _, done = self.recipe.phase_at(self.state.samples)
        rate: float = phase.rate * (phase.last_rate / phase.rate) ** done
        return rate * min(1.0, (self.state.samples + 1) / self.recipe.warm_up)

    def step(self) -> None:
        """Train on one batch of pairs."""
        state, recipe, phase = self.state, self.recipe, self.phase
        seed = (recipe.seed, self.process.rank, state.step)
        batch = self.sampler.sample_batch(phase.batch, AugmentationRanges(), seed).to(self.process.device)
        rate = self._learning_rate(phase)
        set_learning_rate(state.optimiser, rate)
        with torch.autocast(self.process.device.type, torch.bfloat16):
            output = self.wrapped_model(batch.source, batch.mask, batch.source_points, batch.target_points, batch.torso)
        terms = generator_losses(output, batch, recipe.loss)
        loss = total_loss(terms, recipe.loss)
        if phase.adversarial > 0:
            loss = loss + self._adversarial_loss(phase, output.image, batch)
        norm = take_optimiser_step(state.optimiser, state.model, loss, recipe.clip)
        state.average.update(state.model)
        state.step += 1
        state.samples += phase.batch * self.process.world_size
        if self.process.is_main and state.step % recipe.log_every == 0:
            gamma = float(state.model.decoder.attention.gamma.detach())
            row = {name: float(value.detach()) for name, value in terms.items()} | self._progress_row()
            row |= {"rate": rate, "loss": float(loss.detach()), "gamma": gamma, "norm": norm}
            self.train_log.append_row(row)

    def _adversarial_loss(self, phase: TrainingPhase, image: Tensor, batch: PairBatch) -> Tensor:
        """The critic's share of the generator's loss; the critic takes a step of its own."""
        if self.state.adversary is None:
            torch.manual_seed(self.recipe.seed)  # the same critic in every process
            self.state.adversary = MouthAdversary(self.process.device)
        adversary, mesh = self.state.adversary, batch.target_points
        terms = adversary.generator_losses(image, batch.target, mesh)
        adversary.train_step(image, batch.target, mesh)
        return phase.adversarial * (terms["adversarial"] + self.recipe.loss.matching * terms["matching"])

    def validate(self) -> None:
        """Log the figures of held-out clips and write a sheet; before the first step also those of the unmoved source.

        The averaged model is also measured without the torso, as the log's model ``untold``.
        """
        average, device = self.state.average.module, self.process.device
        if self.state.step == 0:
            figures, _ = measure_model(None, self.held_out, device)
            self._log_validation("copy", figures)
        figures, rows = measure_model(average, self.held_out, device)
        self._log_validation("average" if self.state.step else "untrained", figures)
        if self.state.step:
            figures, _ = measure_model(average, self.held_out, device, with_torso=False)
            self._log_validation("untold", figures)
        save_sheet(self.out, self.state.samples, rows[:_SHEET_ROWS])

    def _log_validation(self, model_name: str, figures: dict[str, float]) -> None:
        self.val_log.append_row({"model": model_name, **figures, **self._progress_row()})

    def _progress_row(self) -> dict[str, float]:
        return {**self.state.progress_row(), "side": self.phase.side}


def main() -> None:
    """The command line of ``python -m livehead.training.compact``."""
    parser = argparse.ArgumentParser(
        prog="python -m livehead.training.compact",
        description="Train the bundled model, on several GPUs with torchrun.",
    )
    add = parser.add_argument
    config, out = Path(EXAMPLE_CONFIG), Path("runs/compact")
    add("--data", type=Path, required=True, help="the training cache that scripts/prepare_clips.py made")
    add("--config", type=Path, default=config, help="the recipe (default: %(default)s)")
    add("--out", type=Path, default=out, help="the folder for checkpoints, logs and sheets (default: %(default)s)")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--init", type=Path, help="a safetensors file of weights to start from; without it they are random")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    run(given.data, given.config, given.out, resume=given.resume, init=given.init)
