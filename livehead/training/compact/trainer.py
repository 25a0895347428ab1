"""Training of ``compact``: one process on CPU (bf16) or GPU, or several under ``torchrun``.

The run folder holds ``latest.pt`` (all that is needed to go on), ``train.csv``, ``val.csv`` and ``sheets/``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from livehead.models.compact.network import CompactGenerator, CompactOutput
from livehead.training.adversarial import MouthAdversary
from livehead.training.compact.pair_sampler import AugmentationRanges, PairBatch, PairSampler
from livehead.training.compact.state import CompactTrainingState, load_state, new_state, save_state, update_ema
from livehead.training.distributed import ProcessGroupInfo, open_process_group, wrap_ddp
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.losses import importance_weights, mouth_mask, psnr, pyramid_loss, texture_loss, weighted_l1
from livehead.training.recipe import CompactLossWeights, CompactRecipe, TrainingPhase, read_compact_recipe
from livehead.training.run_log import RunLog
from livehead.training.sheets import draw_sample_rows, plot_compact_run, save_sheet

log = logging.getLogger(__name__)

_TRAIN_COLUMNS = (
    *(
        "samples",
        "seconds",
        "side",
        "rate",
        "loss",
        "image",
        "texture",
        "warped",
        "generated",
        "alpha",
        "gamma",
        "norm",
    ),
)
_VAL_COLUMNS = ("samples", "seconds", "side", "model", "psnr", "l1", "mouth_l1")
_VAL_FRAMES = 8


def run(data: Path, config: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> None:
    """Train ``compact`` from the cache ``data`` by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out/latest.pt``; ``init`` starts from weights (safetensors) with a fresh optimiser.
    Ends early, with a checkpoint, on SIGTERM or SIGINT.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_compact_recipe(config)
    with open_process_group() as place:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, out / "latest.pt")
        CompactTrainer(recipe, data, out, place, state).run()


class CompactTrainer:
    def __init__(
        self, recipe: CompactRecipe, data: Path, out: Path, process: ProcessGroupInfo, state: CompactTrainingState
    ) -> None:
        self.recipe, self.data, self.out, self.process, self.state = recipe, data, out, process, state
        self.wrapped_model = wrap_ddp(state.model, process)
        self.loop = TrainingLoop(process, TrainingIntervals(recipe.checkpoint_every, recipe.validate_every))
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if process.is_main else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if process.is_main else None

    def run(self) -> None:
        """Stage by stage to the end, or to a signal."""
        with self.loop.stop_on_signals():
            while self.state.samples < self.recipe.total_samples and not self.loop.stop_requested:
                stage, _ = self.recipe.phase_at(self.state.samples)
                self._run_phase(stage)
        if self.process.is_main:
            self.save()
            plot_compact_run(self.out)
            log.info("stopped after %d samples", self.state.samples)

    @property
    def progress(self) -> CompactTrainingState:
        """How far the run is."""
        return self.state

    def save(self) -> None:
        """Write ``latest.pt``."""
        save_state(self.state, self.out / "latest.pt")

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
        rate = phase.rate * (phase.last_rate / phase.rate) ** done
        return rate * min(1.0, (self.state.samples + 1) / self.recipe.warm_up)

    def step(self) -> None:
        """One batch."""
        state, recipe, stage = self.state, self.recipe, self.phase
        batch = self.sampler.sample_batch(
            stage.batch, AugmentationRanges(), (recipe.seed, self.process.rank, state.step)
        )
        batch = PairBatch(*(part.to(self.process.device) for part in batch))
        rate = self._learning_rate(stage)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.process.device.type, torch.bfloat16):
            output = self.wrapped_model(batch.source, batch.mask, batch.source_points, batch.target_points, batch.torso)
        terms = generator_losses(output, batch, recipe.loss)
        total = total_loss(terms, recipe.loss)
        if stage.adversarial > 0:
            total = total + self._adversarial_loss(stage, output.image, batch)
        state.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
        if torch.isfinite(norm):
            state.optimiser.step()
        update_ema(state.average, state.model, min(recipe.average, (1 + state.step) / (10 + state.step)))
        state.step += 1
        state.samples += stage.batch * self.process.world_size
        if self.train_log is not None and state.step % recipe.log_every == 0:
            gamma = float(state.model.decoder.attention.gamma.detach())
            row = {name: float(value.detach()) for name, value in terms.items()}
            row |= {"samples": state.samples, "seconds": state.seconds, "side": stage.side, "rate": rate}
            row |= {"loss": float(total.detach()), "gamma": gamma}
            self.train_log.append_row(row | {"norm": float(norm)})

    def _adversarial_loss(self, phase: TrainingPhase, image: Tensor, batch: PairBatch) -> Tensor:
        """The critic's share of the generator's loss, and a step of the critic."""
        if self.state.adversary is None:
            torch.manual_seed(self.recipe.seed)  # the same critic in every process
            self.state.adversary = MouthAdversary(self.process.device)
        adversary, mesh = self.state.adversary, batch.target_points
        terms = adversary.generator_losses(image, batch.target, mesh)
        adversary.train_step(image, batch.target, mesh)
        return phase.adversarial * (terms["adversarial"] + self.recipe.loss.matching * terms["matching"])

    def validate(self) -> None:
        """Figures of held-out clips, and a sheet of them."""
        models = {"average": self.state.average}
        if self.state.step == 0:
            models = {"copy": None, "untrained": self.state.average}
        for name, model in models.items():
            figures, sheets = evaluate(model, self.held_out, self.process.device)
            self.val_log.append_row(figures | self._progress_row(self.phase) | {"model": name})
            if model is not None and self.state.step:
                figures, _ = evaluate(model, self.held_out, self.process.device, with_torso=False)
                self.val_log.append_row(figures | self._progress_row(self.phase) | {"model": "untold"})
            if sheets:
                folder = self.out / "sheets"
                folder.mkdir(exist_ok=True)
                save_sheet(folder / f"{self.state.samples:08d}.png", sheets[:8])

    def _progress_row(self, phase: TrainingPhase) -> dict[str, float | int]:
        return {"samples": self.state.samples, "seconds": self.state.seconds, "side": phase.side}


def total_loss(terms: dict[str, Tensor], loss: CompactLossWeights) -> Tensor:
    """The terms of ``generator_losses`` against each other."""
    parts = (terms["image"], loss.warped * terms["warped"], loss.generated * terms["generated"])
    return sum(parts, loss.texture * terms["texture"] + loss.keep * (1 - terms["alpha"]))


def generator_losses(output: CompactOutput, batch: PairBatch, loss: CompactLossWeights) -> dict[str, Tensor]:
    """``image``, ``texture``, ``warped``, ``generated``, not yet against each other, and the mean ``alpha``."""
    weight = importance_weights(batch.target_points, batch.target.shape[-1], loss.mouth, loss.eyes)
    image = output.image
    return {
        "image": pyramid_loss(image, batch.target, weight, loss.levels, loss.edges),
        "texture": texture_loss(image, batch.target, weight.clamp_max(2)),
        "warped": weighted_l1(output.warped, batch.target, weight),
        "alpha": output.alpha.mean(),
        "generated": weighted_l1(output.generated, batch.target, weight),
    }


@torch.no_grad()
def evaluate(
    model: CompactGenerator | None, held_out: list[tuple[str, PairBatch]], device: torch.device, with_torso: bool = True
) -> tuple[dict[str, float], list]:
    """Means over clips of ``psnr``, ``l1``, ``mouth_l1``, and sample rows; without a model the source is the answer.

    ``told``: how the torso moved, as far as it was followed.
    """
    figures, sheets = [], []
    for _, batch in held_out:
        batch = PairBatch(*(part.to(device) for part in batch))
        image = batch.source
        if model is not None:
            with torch.autocast(device.type, torch.bfloat16):
                torso = batch.torso if with_torso else None
                output = model(batch.source, batch.mask, batch.source_points, batch.target_points, torso)
            image = output.image.float()
            sheets.append(draw_sample_rows(batch, output, 1))
        mouth = mouth_mask(batch.target_points, image.shape[-1])
        error = (image - batch.target).abs()
        in_mouth = (error * mouth).sum((1, 2, 3)) / (3 * mouth.sum((1, 2, 3))).clamp_min(1)
        figures.append((psnr(image, batch.target).mean(), error.mean(), in_mouth.mean()))
    means = torch.tensor(figures).mean(dim=0).tolist()
    return dict(zip(("psnr", "l1", "mouth_l1"), means, strict=True)), sheets


def main() -> None:
    parser = argparse.ArgumentParser(description="train the bundled model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train/compact.toml"))
    parser.add_argument("--out", type=Path, default=Path("runs/compact"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--init", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    run(given.data, given.config, given.out, resume=given.resume, init=given.init)


if __name__ == "__main__":
    main()
