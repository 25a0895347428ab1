"""The published checkpoints that can be imported: what each consists of, whose it is and where it is to be had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from livehead.errors import ConfigError, did_you_mean
from livehead.weights import conr, dagan, openpose, pifuhd
from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec

if TYPE_CHECKING:
    from torch import Tensor

SYSTEMS = (dagan, openpose, conr, pifuhd)
"""A module for each published system: its ``layouts``, its ``PUBLICATIONS``, and ``identify``."""

PUBLICATIONS: Mapping[str, CheckpointSpec] = MappingProxyType(
    {publication.name: publication for system in SYSTEMS for publication in system.PUBLICATIONS}
)
"""By name."""

UNSUPPORTED_NETWORKS: Mapping[str, str] = MappingProxyType(conr.UNSUPPORTED_NETWORKS)
"""Networks that ``identify`` knows and that cannot be used, and why."""


def find_checkpoint_spec(name: str) -> CheckpointSpec:
    """Raises: ConfigError naming the nearest known one."""
    if name not in PUBLICATIONS:
        raise ConfigError(f"there are no published weights {name!r}", did_you_mean(name, PUBLICATIONS), subject=name)
    return PUBLICATIONS[name]


def find_part(publication: CheckpointSpec, network: str) -> CheckpointPart | None:
    """The part that a network of that name is, if any."""
    return next((part for part in publication.parts if re.fullmatch(part.network, network)), None)


def find_specs_with(network: str) -> list[str]:
    """Names of the publications that a network of that name belongs to."""
    return [name for name, publication in PUBLICATIONS.items() if find_part(publication, network)]


def identify_network(tensors: Mapping[str, Tensor]) -> str | None:
    """The name, for ``convert.load_official``, of the network that a state dict seems to be; None if of none.

    Told by a few keys and their shapes; whether the rest fits is seen when it is loaded.
    """
    shapes = {key.removeprefix("module."): tuple(value.shape) for key, value in tensors.items()}
    found = (system.identify(shapes) for system in SYSTEMS)
    return next((network for network in found if network), None)
