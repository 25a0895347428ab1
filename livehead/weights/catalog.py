"""The catalog of published checkpoints that can be imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from livehead.errors import ConfigError, did_you_mean
from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec
from livehead.weights.conr import CONR, UNSUPPORTED_NETWORKS
from livehead.weights.dagan import DAGAN
from livehead.weights.openpose import OPENPOSE
from livehead.weights.pifuhd import PIFUHD
from livehead.weights.published_system import PublishedSystem

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PUBLICATIONS",
    "SYSTEMS",
    "UNSUPPORTED_NETWORKS",
    "find_checkpoint_spec",
    "find_part",
    "find_specs_with",
    "identify_network",
]

SYSTEMS: tuple[PublishedSystem, ...] = (DAGAN, OPENPOSE, CONR, PIFUHD)
"""All published systems."""

PUBLICATIONS: Mapping[str, CheckpointSpec] = MappingProxyType(
    {publication.name: publication for system in SYSTEMS for publication in system.specs}
)
"""Every importable checkpoint by name."""


def find_checkpoint_spec(name: str) -> CheckpointSpec:
    """The published checkpoint called ``name``. Raises: ConfigError naming the nearest known one."""
    if name not in PUBLICATIONS:
        raise ConfigError(f"there are no published weights {name!r}", did_you_mean(name, PUBLICATIONS), subject=name)
    return PUBLICATIONS[name]


def find_part(publication: CheckpointSpec, network: str) -> CheckpointPart | None:
    """The part of ``publication`` that the network of that name is, if any."""
    return next((part for part in publication.parts if re.fullmatch(part.network, network)), None)


def find_specs_with(network: str) -> list[str]:
    """The names of all publications that contain the network of that name."""
    return [name for name, publication in PUBLICATIONS.items() if find_part(publication, network)]


def identify_network(tensors: Mapping[str, Tensor]) -> str | None:
    """The name, for ``convert.load_official``, of the network that a state dict seems to belong to, or None.

    Only a few keys and their shapes are compared; loading shows whether the rest fits.
    """
    shapes = {key.removeprefix("module."): tuple(value.shape) for key, value in tensors.items()}
    found = (system.identify(shapes) for system in SYSTEMS)
    return next((network for network in found if network), None)
