"""What the recipes of all models share: the typed form of ``configs/train/*.toml``."""

from __future__ import annotations

import importlib.metadata
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

import livehead
from livehead.config import parse_settings
from livehead.errors import ConfigError
from livehead.untrusted_files import DamagedFileError, read_untrusted


class FrozenSettings(BaseModel):
    """Settings that never change and refuse a key that they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EpochSchedule(FrozenSettings):
    """The part that the recipes of the published networks share: how much they see, how fast, and when they are judged.

    ``batch`` counts the samples of one process. An epoch draws every person ``repeats`` times, unless ``samples`` gives
    the number of samples of all epochs together. After each of the epochs ``drops`` the learning rate falls tenfold.
    ``workers`` processes make batches ahead for each process that trains. ``checkpoint_every`` and ``validate_every``
    are seconds, ``log_every`` is steps; ``clip`` limits the gradient's norm, and 0 does not limit it.
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
        """The number of samples of the whole run on data of so many persons."""
        return self.samples or self.epochs * self.repeats * persons

    def rate_at(self, samples: int, total: int) -> float:
        """The learning rate after ``samples`` of ``total`` samples."""
        epoch = self.epochs * samples / total
        return self.rate * 0.1 ** sum(epoch >= drop for drop in self.drops)


SettingsT = TypeVar("SettingsT", bound=FrozenSettings)
_RECIPE_FOLDER = "configs/train"
_INSTALLED_FOLDER = "share/livehead/train"  # of an installation that has no checkout around it


def find_recipe(model: str) -> Path:
    """Return the recipe of ``model`` that ships with livehead, wherever the command is run.

    A recipe in ``configs/train`` of the current folder is taken before it. Raises: ConfigError.
    """
    name = f"{model}.toml"
    checkout = Path(livehead.__file__).parents[1]
    candidates = [folder / _RECIPE_FOLDER / name for folder in (Path(), checkout)]
    with suppress(importlib.metadata.PackageNotFoundError):
        installed = importlib.metadata.files("livehead") or ()
        candidates += [Path(file.locate()) for file in installed if file.match(f"{_INSTALLED_FOLDER}/{name}")]
    for path in candidates:
        if path.is_file():
            return path
    raise ConfigError(f"no recipe of {model} is installed", "give one with --config", subject=model)


def read_recipe_as(kind: type[SettingsT], path: Path, example: str) -> SettingsT:
    """Read the TOML file ``path`` as a recipe of ``kind``; an error names the file ``example`` as a model.

    Raises: ConfigError when the file is missing, no TOML, or has a setting that ``kind`` does not know.
    """
    try:
        tree = read_untrusted(path, lambda content: tomllib.loads(content.decode("utf-8")))
    except (OSError, DamagedFileError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", "give the recipe with --config", subject=str(path)
        ) from error
    try:
        return parse_settings(kind, tree, where=str(path))
    except ConfigError as error:
        raise ConfigError(error.problem, f"see {example}", subject=error.subject) from error
