"""What the catalog needs to know of one published system, such as DaGAN or OpenPose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from livehead.weights.checkpoint_spec import CheckpointSpec
from livehead.weights.key_map import CheckpointLayout, TensorShapes


@dataclass(frozen=True, slots=True)
class PublishedSystem:
    """A published system: its networks and the checkpoints that they came in.

    ``layouts`` returns the layouts by the names that ``convert.load_official`` takes (a function, since it imports
    torch). ``identify`` returns the name of the network whose state dict has given keys and shapes, or None.
    """

    layouts: Callable[[], dict[str, CheckpointLayout]]
    specs: tuple[CheckpointSpec, ...]
    identify: Callable[[TensorShapes], str | None]
