"""Training of ``compact``: one process on CPU (bf16) or GPU, or several under ``torchrun``.

The run folder holds ``latest.pt`` (all that is needed to go on), ``train.csv``, ``val.csv`` and ``sheets/``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from livehead.models.dagan.compact import CompactGenerator, CompactOutput
from livehead.training.adversary import Adversary
from livehead.training.journal import RunLog
from livehead.training.loop import Loop, Rhythm
from livehead.training.losses import importance, mouth_mask, psnr, pyramid_loss, texture_loss, weighted_l1
from livehead.training.pairs import Augmentation, Batch, PairSource
from livehead.training.place import Place, open_place, share
from livehead.training.recipe import Loss, Recipe, Stage, read_recipe
from livehead.training.sheets import plot_run, sample_rows, save_sheet
from livehead.training.state import State, follow, load_state, new_state, save_state

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
    recipe = read_recipe(config)
    with open_place() as place:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, out / "latest.pt")
        _Trainer(recipe, data, out, place, state).run()


class _Trainer:
    def __init__(self, recipe: Recipe, data: Path, out: Path, place: Place, state: State) -> None:
        self.recipe, self.data, self.out, self.place, self.state = recipe, data, out, place, state
        self.parallel = share(state.model, place)
        self.loop = Loop(place, Rhythm(recipe.checkpoint_every, recipe.validate_every))
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if place.first else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if place.first else None

    def run(self) -> None:
        """Stage by stage to the end, or to a signal."""
        with self.loop.heeding_signals():
            while self.state.samples < self.recipe.samples and not self.loop.told:
                stage, _ = self.recipe.at(self.state.samples)
                self._run_stage(stage)
        if self.place.first:
            self.save()
            plot_run(self.out)
            log.info("stopped after %d samples", self.state.samples)

    @property
    def counts(self) -> State:
        """How far the run is."""
        return self.state

    def save(self) -> None:
        """Write ``latest.pt``."""
        save_state(self.state, self.out / "latest.pt")

    def _run_stage(self, stage: Stage) -> None:
        self.stage = stage
        self.source = PairSource(self.data, "train", stage.side, self.place.rank, self.place.world)
        self.held_out = PairSource(self.data, "val", stage.side).held_out(_VAL_FRAMES) if self.place.first else []
        if self.state.step == 0 and self.place.first:
            self.validate()
        self.loop.run(self, self.recipe.samples, going=lambda: self.recipe.at(self.state.samples)[0] is stage)
        if self.place.first:
            self.validate()

    def _rate(self, stage: Stage) -> float:
        _, done = self.recipe.at(self.state.samples)
        rate = stage.rate * (stage.last_rate / stage.rate) ** done
        return rate * min(1.0, (self.state.samples + 1) / self.recipe.warm_up)

    def step(self) -> None:
        """One batch."""
        state, recipe, stage = self.state, self.recipe, self.stage
        batch = self.source.batch(stage.batch, Augmentation(), (recipe.seed, self.place.rank, state.step))
        batch = Batch(*(part.to(self.place.device) for part in batch))
        rate = self._rate(stage)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.place.device.type, torch.bfloat16):
            output = self.parallel(batch.source, batch.mask, batch.source_points, batch.target_points, batch.torso)
        terms = generator_losses(output, batch, recipe.loss)
        total = total_loss(terms, recipe.loss)
        if stage.adversarial > 0:
            total = total + self._adversarial(stage, output.image, batch)
        state.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
        if torch.isfinite(norm):
            state.optimiser.step()
        follow(state.average, state.model, min(recipe.average, (1 + state.step) / (10 + state.step)))
        state.step += 1
        state.samples += stage.batch * self.place.world
        if self.train_log is not None and state.step % recipe.log_every == 0:
            gamma = float(state.model.decoder.attention.gamma.detach())
            row = {name: float(value.detach()) for name, value in terms.items()}
            row |= {"samples": state.samples, "seconds": state.seconds, "side": stage.side, "rate": rate}
            row |= {"loss": float(total.detach()), "gamma": gamma}
            self.train_log.row(row | {"norm": float(norm)})

    def _adversarial(self, stage: Stage, image: Tensor, batch: Batch) -> Tensor:
        """The critic's share of the generator's loss, and a step of the critic."""
        if self.state.adversary is None:
            torch.manual_seed(self.recipe.seed)  # the same critic in every process
            self.state.adversary = Adversary(self.place.device)
        adversary, mesh = self.state.adversary, batch.target_points
        terms = adversary.terms(image, batch.target, mesh)
        adversary.learn(image, batch.target, mesh)
        return stage.adversarial * (terms["adversarial"] + self.recipe.loss.matching * terms["matching"])

    def validate(self) -> None:
        """Figures of held-out clips, and a sheet of them."""
        models = {"average": self.state.average}
        if self.state.step == 0:
            models = {"copy": None, "untrained": self.state.average}
        for name, model in models.items():
            figures, sheets = evaluate(model, self.held_out, self.place.device)
            self.val_log.row(figures | self._when(self.stage) | {"model": name})
            if model is not None and self.state.step:
                figures, _ = evaluate(model, self.held_out, self.place.device, told=False)
                self.val_log.row(figures | self._when(self.stage) | {"model": "untold"})
            if sheets:
                folder = self.out / "sheets"
                folder.mkdir(exist_ok=True)
                save_sheet(folder / f"{self.state.samples:08d}.png", sheets[:8])

    def _when(self, stage: Stage) -> dict[str, float | int]:
        return {"samples": self.state.samples, "seconds": self.state.seconds, "side": stage.side}


def total_loss(terms: dict[str, Tensor], loss: Loss) -> Tensor:
    """The terms of ``generator_losses`` against each other."""
    parts = (terms["image"], loss.warped * terms["warped"], loss.generated * terms["generated"])
    return sum(parts, loss.texture * terms["texture"] + loss.keep * (1 - terms["alpha"]))


def generator_losses(output: CompactOutput, batch: Batch, loss: Loss) -> dict[str, Tensor]:
    """``image``, ``texture``, ``warped``, ``generated``, not yet against each other, and the mean ``alpha``."""
    weight = importance(batch.target_points, batch.target.shape[-1], loss.mouth, loss.eyes)
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
    model: CompactGenerator | None, held_out: list[tuple[str, Batch]], device: torch.device, told: bool = True
) -> tuple[dict[str, float], list]:
    """Means over clips of ``psnr``, ``l1``, ``mouth_l1``, and sample rows; without a model the source is the answer.

    ``told``: how the torso moved, as far as it was followed.
    """
    figures, sheets = [], []
    for _, batch in held_out:
        batch = Batch(*(part.to(device) for part in batch))
        image = batch.source
        if model is not None:
            with torch.autocast(device.type, torch.bfloat16):
                torso = batch.torso if told else None
                output = model(batch.source, batch.mask, batch.source_points, batch.target_points, torso)
            image = output.image.float()
            sheets.append(sample_rows(batch, output, 1))
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
