"""How the foveal network is trained: the typed form of ``configs/train/foveal.toml``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from livehead.training.recipe import FrozenSettings, read_recipe_as

EXAMPLE_CONFIG = "configs/train/foveal.toml"


class FovealPhase(FrozenSettings):
    """One phase of the training, on ``samples`` patches of mouths (and as many of eyes).

    The learning rate falls exponentially from ``rate`` to ``last_rate``. ``perceptual`` and ``adversarial`` weigh their
    losses; 0 leaves them out, and saves most of the time.
    """

    samples: int
    batch: int = Field(16, ge=2)
    rate: float = 1e-3
    last_rate: float = 1e-4
    perceptual: float = 0.0
    adversarial: float = 0.0


class FovealLossWeights(FrozenSettings):
    """Weights of the losses. ``inside`` multiplies errors between lips or lids, ``lips`` those on them; the others
    weigh whole terms.

    ``invent`` is the price of colours of the network's own where the picture or a reference has them.
    """

    inside: float = 12.0
    lips: float = 3.0
    edges: float = 1.0
    texture: float = 0.8
    jitter: float = 0.5
    invent: float = 0.002


class FovealRecipe(FrozenSettings):
    """The whole run. ``checkpoint_every`` and ``validate_every`` are seconds, ``log_every`` is steps."""

    seed: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    warm_up: int = 4000
    average: float = 0.999
    checkpoint_every: float = 300
    validate_every: float = 900
    log_every: int = 50
    loss: FovealLossWeights = FovealLossWeights()
    stages: tuple[FovealPhase, ...] = Field(min_length=1)

    @property
    def total_samples(self) -> int:
        """The number of samples of all phases together."""
        return sum(phase.samples for phase in self.stages)

    def phase_at(self, seen: int) -> tuple[FovealPhase, float]:
        """The phase after ``seen`` samples, and the share of it (0 to 1) that is done."""
        for phase in self.stages:
            if seen < phase.samples:
                return phase, seen / phase.samples
            seen -= phase.samples
        return self.stages[-1], 1.0


def read_foveal_recipe(path: Path) -> FovealRecipe:
    """Read a recipe. Raises: ConfigError when the file is missing, no TOML, or has a setting that there is not."""
    return read_recipe_as(FovealRecipe, path, EXAMPLE_CONFIG)
