"""How ``compact`` is trained: the typed form of ``configs/train/compact.toml``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from livehead.training.recipe import FrozenSettings, read_recipe_as

EXAMPLE_CONFIG = "configs/train/compact.toml"


class TrainingPhase(FrozenSettings):
    """One phase of the training, on ``samples`` pairs of ``side`` pixels, ``batch`` of them a step in each process.

    The learning rate falls exponentially from ``rate`` to ``last_rate``. ``adversarial`` is the weight of the critic.
    """

    side: int = 128
    samples: int
    batch: int = 8
    rate: float = 6e-4
    last_rate: float = 6e-5
    adversarial: float = 0.0


class CompactLossWeights(FrozenSettings):
    """Weights of the losses. ``mouth`` and ``eyes`` multiply errors at their places; the others weigh whole terms.

    ``keep`` is the price of generating pixels where the photo could be warped: generated pixels suit the persons of the
    training data better than others, warped ones suit everybody.
    """

    mouth: float = 10.0
    eyes: float = 3.0
    edges: float = 1.0
    levels: int = 3
    warped: float = 0.5
    generated: float = 0.3
    texture: float = 0.8
    keep: float = 0.02
    matching: float = 10.0


class CompactRecipe(FrozenSettings):
    """The whole run. ``checkpoint_every`` and ``validate_every`` are seconds, ``log_every`` is steps.

    ``average`` is the share that the moving average of the weights keeps per step; ``warm_up`` counts the samples until
    the learning rate is full; ``clip`` limits the gradient's norm.
    """

    seed: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    warm_up: int = 4000
    average: float = 0.999
    checkpoint_every: float = 150
    validate_every: float = 420
    log_every: int = 50
    loss: CompactLossWeights = CompactLossWeights()
    stages: tuple[TrainingPhase, ...] = Field(min_length=1)

    @property
    def total_samples(self) -> int:
        """The number of samples of all phases together."""
        return sum(phase.samples for phase in self.stages)

    def phase_at(self, seen: int) -> tuple[TrainingPhase, float]:
        """The phase after ``seen`` samples, and the share of it (0 to 1) that is done."""
        for phase in self.stages:
            if seen < phase.samples:
                return phase, seen / phase.samples
            seen -= phase.samples
        return self.stages[-1], 1.0


def read_compact_recipe(path: Path) -> CompactRecipe:
    """Read a recipe. Raises: ConfigError when the file is missing, no TOML, or has a setting that there is not."""
    return read_recipe_as(CompactRecipe, path, EXAMPLE_CONFIG)
