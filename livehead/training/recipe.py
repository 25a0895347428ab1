"""How a model is trained: the typed form of ``configs/train/*.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livehead.errors import ConfigError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Frozen):
    """A stretch of training: ``samples`` pairs of ``side`` pixels, ``batch`` a process; the rate falls."""

    side: int = 128
    samples: int
    batch: int = 8
    rate: float = 6e-4
    last_rate: float = 6e-5
    adversarial: float = 0.0


class Loss(_Frozen):
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


class Recipe(_Frozen):
    """The whole run. Times in seconds."""

    seed: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    warm_up: int = 4000
    average: float = 0.999
    checkpoint_every: float = 150
    validate_every: float = 420
    log_every: int = 50
    loss: Loss = Loss()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @property
    def samples(self) -> int:
        """Of all stages together."""
        return sum(stage.samples for stage in self.stages)

    def at(self, seen: int) -> tuple[Stage, float]:
        """The stage after ``seen`` samples, and how much of it is done (0 to 1)."""
        for stage in self.stages:
            if seen < stage.samples:
                return stage, seen / stage.samples
            seen -= stage.samples
        return self.stages[-1], 1.0


def read_recipe(path: Path) -> Recipe:
    """Raises: ConfigError when the file is missing, no TOML, or has a setting that there is not."""
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", "give the recipe with --config", subject=str(path)
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path}: {where}: {first['msg']}", "see configs/train/compact.toml", subject=where
        ) from error
