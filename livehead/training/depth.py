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

from livehead.training.batches import batches
from livehead.training.dagan_recipe import DepthRecipe
from livehead.training.depth_state import CHECKPOINT, DepthState, Sight, load_state, new_state, save_state
from livehead.training.frames import FrameSource, Triplet
from livehead.training.journal import RunLog
from livehead.training.loop import Loop, Rhythm
from livehead.training.photometry import DepthTerms, View, at_side, camera_motion, depth_terms, warped
from livehead.training.place import Place, open_place, share, share_statistics
from livehead.training.recipe import read_as
from livehead.training.sheets import plot_logs, save_sheet, side_by_side

EXAMPLE = "configs/train/depth.toml"
_TERMS = ("photometric", "smoothness")
_TRAIN_COLUMNS = ("samples", "seconds", "rate", "loss", *_TERMS, "still", "focal", "norm")
_VAL_COLUMNS = ("samples", "seconds", "model", "photometric", "still", "focal")
_VAL_CLIPS, _VAL_FRAMES, _SHEET_ROWS = 8, 4, 8


def run(data: Path, config: Path, out: Path, *, resume: bool = False, init: Path | None = None) -> None:
    """Train from the clips in ``data`` (``footage``) by the recipe ``config`` into the folder ``out``.

    ``resume`` goes on from ``out``; ``init`` starts from a checkpoint of any such run. Ends early, with a checkpoint,
    on SIGTERM or SIGINT.

    Raises: ConfigError, WeightsError.
    """
    recipe = read_as(DepthRecipe, config, EXAMPLE)
    with open_place() as place:
        source = FrameSource(data, "train", recipe.side, place.rank, place.world)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, place.device, init)
        if resume:
            load_state(state, recipe.layers, out / CHECKPOINT)
        trainer = DepthTrainer(recipe, source, out, place, state)
        if place.first:
            trainer.held_out = FrameSource(data, "val", recipe.side).held_out_triplets(_VAL_FRAMES, _VAL_CLIPS)
        Loop(place, Rhythm(recipe.checkpoint_every, recipe.validate_every)).train(trainer, trainer.total)


class DepthTrainer:
    """One process' share of a run: a ``loop.Subject``."""

    def __init__(self, recipe: DepthRecipe, source: FrameSource, out: Path, place: Place, state: DepthState) -> None:
        self.recipe, self.out, self.place, self.state = recipe, out, place, state
        make = partial(source.triplets, recipe.batch)
        self.batches = batches(make, (recipe.seed, place.rank), state.step, recipe.workers)
        self.held_out: list[tuple[str, Triplet]] = []
        self.total = recipe.total(source.persons)
        self.parallel = share(state.observer, place, norms=True)
        self.train_log = RunLog(out / "train.csv", _TRAIN_COLUMNS) if place.first else None
        self.val_log = RunLog(out / "val.csv", _VAL_COLUMNS) if place.first else None

    @property
    def counts(self) -> DepthState:
        """How far the run is."""
        return self.state

    def step(self) -> None:
        """One batch of triplets."""
        state, recipe = self.state, self.recipe
        seed = (recipe.seed, self.place.rank, state.step)
        triplet = next(self.batches).to(self.place.device)
        rate = recipe.rate_at(state.samples, self.total)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.place.device.type, torch.bfloat16):
            sight = self.parallel(triplet.seen)
        dither = torch.Generator().manual_seed(int(np.random.default_rng((*seed, 1)).integers(2**62)))
        terms = depth_terms(triplet.plain[:, 1], sight.disparities, views_of(sight, triplet.plain), dither)
        loss = terms.photometric + recipe.smoothness * terms.smoothness
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.observer.parameters(), recipe.clip or float("inf"))
        if torch.isfinite(norm):
            state.optimiser.step()
        share_statistics(state.observer, self.place)
        state.step += 1
        state.samples += recipe.batch * self.place.world
        if self.train_log is not None and state.step % recipe.log_every == 0:
            self.train_log.row(
                self._figures(terms, sight) | {"rate": rate, "loss": float(loss.detach()), "norm": float(norm)}
            )

    def save(self) -> None:
        """Write ``latest.pth.tar``."""
        save_state(self.state, self.recipe.layers, self.out / CHECKPOINT)

    @torch.no_grad()
    def validate(self) -> None:
        """The photometric error of held-out triplets, a sheet, the curves."""
        rows, sheets = [], []
        self.state.observer.eval()
        for _, triplet in self.held_out:
            triplet = triplet.to(self.place.device)
            with torch.autocast(self.place.device.type, torch.bfloat16):
                sight = self.state.observer(triplet.seen)
            views = views_of(sight, triplet.plain)
            rows.append(self._figures(depth_terms(triplet.plain[:, 1], sight.disparities, views, None), sight))
            sheets.append(_row(triplet, sight, views))
        self.state.observer.train()
        means = {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else ())}
        when = {"samples": self.state.samples, "seconds": self.state.seconds}
        self.val_log.row(means | when | {"model": "model"})
        if sheets:
            (self.out / "sheets").mkdir(exist_ok=True)
            save_sheet(self.out / "sheets" / f"{self.state.samples:08d}.png", sheets[:_SHEET_ROWS])
        plot_logs(self.out, _TERMS, "photometric")

    def _figures(self, terms: DepthTerms, sight: Sight) -> dict[str, float]:
        figures = {name: float(value.detach()) for name, value in terms._asdict().items()}
        figures["focal"] = float(sight.after.intrinsics[:, 0, 0].detach().mean())
        return figures | {"samples": self.state.samples, "seconds": self.state.seconds}


def views_of(sight: Sight, frames: Tensor) -> list[View]:
    """Both neighbours of the middle one of ``frames`` [B, 3, 3, S, S], as the pose network sees the camera move."""
    side = frames.shape[-1]
    return [
        View(frames[:, place], camera_motion(*pose.motion, earlier=place == 0), at_side(pose.intrinsics, side))
        for place, pose in ((0, sight.before), (2, sight.after))
    ]


def _row(triplet: Triplet, sight: Sight, views: list[View]) -> np.ndarray:
    """Frame, disparity over its range, the next frame, and that seen from the frame, of the first triplet."""
    disparity = sight.disparities[0]
    low, high = disparity.amin(dim=(1, 2, 3), keepdim=True), disparity.amax(dim=(1, 2, 3), keepdim=True)
    columns = (
        triplet.plain[:, 1],
        (disparity - low) / (high - low).clamp_min(1e-6),
        triplet.plain[:, 2],
        warped(disparity, views[1]),
    )
    return side_by_side([column[:1] for column in columns])
