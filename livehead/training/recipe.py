"""How a model is trained: the typed form of ``configs/train/*.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livehead.errors import ConfigError


class FrozenSettings(BaseModel):
    """Settings that never change and refuse what they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingPhase(FrozenSettings):
    """A stretch of training: ``samples`` pairs of ``side`` pixels, ``batch`` a process; the rate falls."""

    side: int = 128
    samples: int
    batch: int = 8
    rate: float = 6e-4
    last_rate: float = 6e-5
    adversarial: float = 0.0


class CompactLossWeights(FrozenSettings):
    """Weights. ``mouth`` and ``eyes`` multiply their places; the others are whole terms.

    ``keep`` is the price of generating where the photo could be warped: what is generated suits the persons that were
    trained on better than others, what is warped suits everybody.
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
    """The whole run. Times in seconds."""

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
        """Of all stages together."""
        return sum(stage.samples for stage in self.stages)

    def phase_at(self, seen: int) -> tuple[TrainingPhase, float]:
        """The stage after ``seen`` samples, and how much of it is done (0 to 1)."""
        for stage in self.stages:
            if seen < stage.samples:
                return stage, seen / stage.samples
            seen -= stage.samples
        return self.stages[-1], 1.0


class EpochSchedule(FrozenSettings):
    """What the recipes of the published networks share: how much, how fast, and when to look at it.

    ``batch`` is a process'; an epoch draws every person ``repeats`` times, unless ``samples`` (of all epochs together)
    says how many; after each of the epochs ``drops`` the rate falls tenfold. ``workers``: processes that make batches
    ahead, for each that trains. Times in seconds.
    """

    seed: int = 0
    side: int = Field(256, ge=64)
    batch: int = Field(ge=1)
    rate: float
    epochs: int = Field(ge=1)
    repeats: int = Field(75, ge=1)
    samples: int | None = Field(None, ge=1)
    drops: tuple[int, ...] = ()
    clip: float = 0.0
    workers: int = Field(0, ge=0)
    checkpoint_every: float = 300
    validate_every: float = 900
    log_every: int = Field(50, ge=1)

    def total_samples(self, persons: int) -> int:
        """Samples of the whole run on data of so many persons."""
        return self.samples or self.epochs * self.repeats * persons

    def rate_at(self, samples: int, total: int) -> float:
        """The rate after so many of all samples."""
        epoch = self.epochs * samples / total
        return self.rate * 0.1 ** sum(epoch >= drop for drop in self.drops)


SettingsT = TypeVar("SettingsT", bound=FrozenSettings)


def read_compact_recipe(path: Path) -> CompactRecipe:
    """Raises: ConfigError when the file is missing, no TOML, or has a setting that there is not."""
    return read_recipe_as(CompactRecipe, path, "configs/train/compact.toml")


def read_recipe_as(kind: type[SettingsT], path: Path, example: str) -> SettingsT:
    """A recipe of another kind; ``example`` is named to whoever gets it wrong. Raises: ConfigError."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", "give the recipe with --config", subject=str(path)
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = ": ".join(part for part in (str(path), where, first["msg"].removeprefix("Value error, ")) if part)
        raise ConfigError(problem, f"see {example}", subject=where) from error
