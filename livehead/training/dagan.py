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

from livehead.models.dagan.depth import FaceDepth
from livehead.models.dagan.equivariance import Deformation
from livehead.training.adversary import critic_loss, critic_terms
from livehead.training.batches import batches
from livehead.training.dagan_losses import crowding, equivariance, gradient_likeness, weights_of
from livehead.training.dagan_recipe import DaganRecipe
from livehead.training.dagan_state import (
    CHECKPOINT,
    DaganState,
    Performance,
    load_state,
    new_state,
    read_face_depth,
    save_state,
)
from livehead.training.frames import FrameSource, Pair
from livehead.training.journal import RunLog
from livehead.training.loop import Loop, Rhythm
from livehead.training.losses import psnr
from livehead.training.place import Place, open_place, share, share_gradients, share_statistics
from livehead.training.recipe import read_as
from livehead.training.sheets import plot_logs, save_sheet, side_by_side
from livehead.training.vgg import PerceptualLikeness, read_vgg

log = logging.getLogger(__name__)

EXAMPLE = "configs/train/dagan.toml"
_TERMS = ("likeness", "adversarial", "matching", "value", "jacobian", "distance")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_TERMS, "critic", "gamma", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "psnr", "l1")
_VAL_CLIPS, _VAL_FRAMES, _SHEET_ROWS = 8, 8, 8

Likeness = Callable[[Tensor, Tensor], Tensor]


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
    recipe = read_as(DaganRecipe, config, EXAMPLE)
    with open_place() as place:
        source = FrameSource(data, "train", recipe.side, place.rank, place.world)
        face_depth = read_face_depth(depth).to(place.device)
        likeness = _likeness(recipe, vgg or recipe.vgg, place)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, out / CHECKPOINT)
        trainer = DaganTrainer(recipe, source, out, place, state, face_depth, likeness)
        if place.first:
            trainer.held_out = FrameSource(data, "val", recipe.side).held_out(_VAL_FRAMES, _VAL_CLIPS)
        Loop(place, Rhythm(recipe.checkpoint_every, recipe.validate_every)).train(trainer, trainer.total)


def _likeness(recipe: DaganRecipe, vgg: Path | None, place: Place) -> Likeness:
    """By VGG-19 where its file is named; else by gradients, and one line says so."""
    if vgg is not None:
        return PerceptualLikeness(read_vgg(vgg), recipe.scales).to(place.device)
    if place.first:
        log.info("no VGG-19 named (--vgg FILE): likeness by multi-scale gradients and the critic's features instead")
    return gradient_likeness


class DaganTrainer:
    """One process' share of a run: a ``loop.Subject``."""

    def __init__(
        self,
        recipe: DaganRecipe,
        source: FrameSource,
        out: Path,
        place: Place,
        state: DaganState,
        depth: FaceDepth,
        likeness: Likeness,
    ) -> None:
        self.recipe, self.out, self.place, self.state = recipe, out, place, state
        make = partial(source.pairs, recipe.batch)
        self.batches = batches(make, (recipe.seed, place.rank), state.step, recipe.workers)
        self.depth, self.likeness = depth, likeness
        self.held_out: list[tuple[str, Pair]] = []
        self.total = recipe.total(source.persons)
        self.weights = weights_of(recipe.loss, recipe.sizes.critic.blocks, isinstance(likeness, PerceptualLikeness))
        self.parallel = share(state.actors, place, norms=True)
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if place.first else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if place.first else None

    @property
    def counts(self) -> DaganState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """Key points and generator, then the critic on the same pictures."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.place.rank, state.step)
        pair = next(self.batches).to(self.place.device)
        rate = recipe.rate_at(state.samples, self.total)
        for optimiser in (state.optimiser, state.critic_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = rate
        performance, terms = self._terms(pair, _deformation(recipe.batch, seed, self.place.device))
        loss = sum(self.weights[name] * value for name, value in terms.items())
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.actors.parameters(), recipe.clip or float("inf"))
        if torch.isfinite(norm):
            state.optimiser.step()
        share_statistics(state.actors, self.place)
        critic = self._teach_critic(performance, pair.driving)
        state.step += 1
        state.samples += recipe.batch * self.place.world
        if self.train_log is not None and state.step % recipe.log_every == 0:
            row = {name: float(value.detach()) for name, value in terms.items()}
            row |= {"samples": state.samples, "seconds": state.seconds, "rate": rate, "loss": float(loss.detach())}
            row |= {"critic": critic, "gamma": float(state.actors.generator.attention.gamma.detach())}
            self.train_log.row(row | {"norm": float(norm)})

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.out / CHECKPOINT)

    def validate(self) -> None:
        """PSNR and L1 of held-out clips, the source unmoved beside them at first; a sheet, the curves."""
        models = ("copy", "model") if self.state.step == 0 else ("model",)
        for name in models:
            figures, sheets = self.evaluate(name)
            self.val_log.row(figures | self._when() | {"model": name})
            if sheets:
                (self.out / "sheets").mkdir(exist_ok=True)
                save_sheet(self.out / "sheets" / f"{self.state.samples:08d}.png", sheets)
        plot_logs(self.out, _TERMS, "psnr")

    @torch.no_grad()
    def evaluate(self, name: str) -> tuple[dict[str, float], list[np.ndarray]]:
        """Means over the held-out clips, and one row of pictures of each; ``copy`` answers with the source."""
        figures, sheets = [], []
        self.state.actors.eval()
        for _, pair in self.held_out:
            pair = pair.to(self.place.device)
            image = pair.source
            if name == "model":
                seen = [self._seen(picture) for picture in pair]
                with torch.autocast(self.place.device.type, torch.bfloat16):
                    output = self.state.actors(*seen).output
                image = output.image
                columns = (pair.source, pair.driving, image, output.deformed, output.field.occlusion, seen[0][:, 3:])
                sheets.append(side_by_side([column[-1:] for column in columns]))
            figures.append((float(psnr(image, pair.driving).mean()), float((image - pair.driving).abs().mean())))
        self.state.actors.train()
        if not figures:
            return {}, []
        return dict(zip(("psnr", "l1"), np.mean(figures, axis=0).tolist(), strict=True)), sheets[:_SHEET_ROWS]

    def _when(self) -> dict[str, float | int]:
        return {"samples": self.state.samples, "seconds": self.state.seconds}

    def _terms(self, pair: Pair, deformation: Deformation) -> tuple[Performance, dict[str, Tensor]]:
        """One pass, and all that is lowered by it, not yet weighted."""
        deformed = deformation.picture(pair.driving)
        seen = [self._seen(picture) for picture in (*pair, deformed)]
        with torch.autocast(self.place.device.type, torch.bfloat16):
            performance = self.parallel(*seen)
        image, points = performance.output.image, performance.driving
        value, jacobian = equivariance(points, performance.deformed, deformation)
        apart = self.recipe.loss.apart
        terms = critic_terms(self.state.critic, image, pair.driving, points.value)
        terms |= {"likeness": self.likeness(image, pair.driving), "value": value, "jacobian": jacobian}
        return performance, terms | {
            "distance": crowding(performance.source.value, apart) + crowding(points.value, apart)
        }

    def _teach_critic(self, performance: Performance, real: Tensor) -> float:
        """A step of the critic; returns its loss."""
        state = self.state
        loss = critic_loss(state.critic, performance.output.image, real, performance.driving.value)
        state.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        share_gradients(state.critic)
        norm = nn.utils.clip_grad_norm_(state.critic.parameters(), float("inf"))  # the same in all processes
        if torch.isfinite(norm):
            state.critic_optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def _seen(self, picture: Tensor) -> Tensor:
        """What the detector looks at: RGB and disparity, [B, 4, S, S]."""
        with torch.autocast(self.place.device.type, torch.bfloat16):
            disparity = self.depth(picture)
        return torch.cat([picture, disparity], dim=1)


def _deformation(batch: int, seed: tuple[int, ...], device: torch.device) -> Deformation:
    """The same one for the same seed, on any device."""
    number = int(np.random.default_rng((*seed, 1)).integers(2**62))
    drawn = Deformation.random(batch, torch.Generator().manual_seed(number))
    return Deformation(drawn.affine.to(device), drawn.bending.to(device))
