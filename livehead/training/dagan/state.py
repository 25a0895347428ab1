"""What a run of the published DaGAN is made of, and its checkpoints in the published layout.

``latest.pth.tar`` has ``generator``, ``kp_detector`` and ``discriminator`` under their published key names, so that
``livehead weights import`` takes it, and beside them what is needed to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.errors import ConfigError, WeightsMismatchError
from livehead.models.dagan.build import build_generator, build_keypoint_detector
from livehead.models.dagan.depth import FaceDepthNetwork
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.dagan.generator import DaganGenerator, GeneratorOutput
from livehead.models.dagan.keypoints import KeypointDetector, LearnedKeypoints
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.dagan.recipe import DaganRecipe
from livehead.weights.catalog import find_checkpoint_spec, identify_network
from livehead.weights.checkpoint import read_checkpoint as read_foreign
from livehead.weights.convert import load_official, to_official_keys
from livehead.weights.safetensors_file import load_strict_state

CHECKPOINT = "latest.pth.tar"
_BETAS = (0.5, 0.999)
_DEPTH_MODELS = ("dagan-depth-18", "dagan-depth-50")


class DaganForwardOutput(NamedTuple):
    """Key points of the source, the driving and the deformed driving picture, and what the generator drew."""

    source_points: LearnedKeypoints
    driving_points: LearnedKeypoints
    deformed_points: LearnedKeypoints | None
    generator_output: GeneratorOutput


class DetectorAndGenerator(nn.Module):
    """Key-point detector and generator as one network, which several processes can share."""

    def __init__(self, detector: KeypointDetector, generator: DaganGenerator) -> None:
        super().__init__()
        self.detector = detector
        self.generator = generator

    def forward(self, source: Tensor, driving: Tensor, deformed: Tensor | None = None) -> DaganForwardOutput:
        """Pictures [B, 4, S, S]: RGB and disparity, in [0, 1]."""
        points, performed = self.detector(source), self.detector(driving)
        turned = None if deformed is None else self.detector(deformed)
        output = self.generator(source[:, :3], source[:, 3:], points, performed)
        return DaganForwardOutput(points, performed, turned, output)


@dataclass
class DaganTrainingState:
    """All that changes while training."""

    model: DetectorAndGenerator
    critic: Discriminator
    optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    step: int = 0
    samples: int = 0
    seconds: float = 0.0

    def checkpoint_entries(self) -> Iterator[tuple[str, str, nn.Module]]:
        """The entry of each network in a checkpoint, a name of its layout (of any size), and the network."""
        yield "generator", "dagan-generator-15", self.model.generator
        yield "kp_detector", "dagan-keypoints-rgbd-15", self.model.detector
        yield "discriminator", "dagan-discriminator-15", self.critic


def new_state(recipe: DaganRecipe, device: torch.device, init: Path | None = None) -> DaganTrainingState:
    """Fresh networks, or those of a checkpoint in the published layout, and their optimisers. Raises: WeightsError."""
    sizes = recipe.sizes.to_builder_sizes()
    actors = DetectorAndGenerator(build_keypoint_detector(sizes), build_generator(sizes))
    actors = actors.to(device, memory_format=torch.channels_last)
    critic = recipe.sizes.build_discriminator().to(device)
    each = (torch.optim.Adam(network.parameters(), lr=recipe.rate, betas=_BETAS) for network in (actors, critic))
    state = DaganTrainingState(actors, critic, *each)
    if init is not None:
        _load_initial_weights(state, init)
    return state


def save_state(state: DaganTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        entry: to_official_keys(layout, network.state_dict()) for entry, layout, network in state.checkpoint_entries()
    }
    document["optimizer_joint"] = state.optimiser.state_dict()
    document["optimizer_discriminator"] = state.critic_optimiser.state_dict()
    document["counts"] = {"step": state.step, "samples": state.samples, "seconds": state.seconds}
    write_checkpoint(document, path)


def load_state(state: DaganTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none, WeightsMismatchError for other sizes."""
    document = read_checkpoint(path)
    try:
        for entry, layout, network in state.checkpoint_entries():
            load_strict_state(network, _to_own_keys(layout, network, document[entry]), f"{path} ({entry})")
        state.optimiser.load_state_dict(document["optimizer_joint"])
        state.critic_optimiser.load_state_dict(document["optimizer_discriminator"])
        counts = document["counts"]
        state.step, state.samples, state.seconds = counts["step"], counts["samples"], counts["seconds"]
    except KeyError as error:
        raise ConfigError(f"{path} lacks {error}: no run wrote it", "start anew without --resume") from error


def _load_initial_weights(state: DaganTrainingState, path: Path) -> None:
    found = {part.entry: part.tensors for part in read_foreign(path)}
    for entry, layout, network in state.checkpoint_entries():
        if entry in found:
            tensors = {key.removeprefix("module."): value for key, value in found[entry].items()}
            load_strict_state(network, _to_own_keys(layout, network, tensors), f"{path} ({entry})")
        elif entry != "discriminator":
            raise WeightsMismatchError(f"{path} has no {entry}", "name a checkpoint of this model", subject=str(path))


def _to_own_keys(layout: str, network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published keys to ours, whatever the widths; a key that has no place keeps its name and is refused later."""
    names = to_official_keys(layout, {key: key for key in network.state_dict()})
    return {names.get(key, key): value for key, value in tensors.items()}


def read_face_depth(files: Sequence[Path]) -> FaceDepthNetwork:
    """Face depth, frozen: from ``files`` in the published layout, or from what was imported if there are none.

    Raises: WeightsError with how to get it.
    """
    if not files:
        from livehead.weights.checkpoint_store import (
            CheckpointStore,
        )  # needs more than a machine that only trains may have

        library = CheckpointStore()
        name = next((name for name in _DEPTH_MODELS if name in library.list_names()), None)
        if name is None:
            remedy = f"train it (livehead train depth) and give --depth runs/depth/{CHECKPOINT}; or "
            missing = find_checkpoint_spec(_DEPTH_MODELS[0]).missing_error("training dagan")
            raise type(missing)(missing.problem, remedy + missing.remedy, subject=missing.subject)
        parts = library.load(name, ["encoder", "depth"])
    else:
        parts = _read_depth_parts(files)
    return FaceDepthNetwork(parts["encoder"], parts["depth"]).eval().requires_grad_(False)


def _read_depth_parts(files: Sequence[Path]) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {}
    for path in files:
        for found in read_foreign(path):
            network = identify_network(found.tensors)
            for part, kind in (("encoder", "dagan-depth-encoder-"), ("depth", "dagan-depth-decoder-")):
                if network is not None and network.startswith(kind):
                    parts[part] = load_official(network, found.tensors)
    for part in ("encoder", "depth"):
        if part not in parts:
            names = ", ".join(str(path) for path in files)
            raise WeightsMismatchError(f"{names}: no {part} of face depth inside", "give --depth encoder and decoder")
    return parts
