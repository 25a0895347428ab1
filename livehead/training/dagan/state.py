"""The state of a run of the published DaGAN, and its checkpoints in the published layout.

``latest.pth.tar`` has ``generator``, ``kp_detector`` and ``discriminator`` under their published key names, so that
``livehead weights import`` takes it, and beside them what is needed to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from livehead.errors import ConfigError, WeightsMismatchError
from livehead.models.dagan.build import build_generator, build_keypoint_detector
from livehead.models.dagan.depth import DepthDecoder, FaceDepthNetwork
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.dagan.generator import DaganGenerator, GeneratorOutput
from livehead.models.dagan.keypoints import KeypointDetector, LearnedKeypoints
from livehead.models.resnet import ResNet
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.dagan.recipe import DaganRecipe
from livehead.training.distributed import place_network
from livehead.training.progress import TrainingProgress
from livehead.weights.catalog import find_checkpoint_spec, identify_network
from livehead.weights.checkpoint import read_checkpoint as read_foreign
from livehead.weights.convert import load_official, to_official_keys
from livehead.weights.safetensors_file import load_strict_state

CHECKPOINT = "latest.pth.tar"
_BETAS = (0.5, 0.999)
_DEPTH_MODELS = ("dagan-depth-18", "dagan-depth-50")


class DaganForwardOutput(NamedTuple):
    """The key points of the source, the driving and the deformed driving picture, and the generator's output."""

    source_points: LearnedKeypoints
    driving_points: LearnedKeypoints
    deformed_points: LearnedKeypoints | None
    generator_output: GeneratorOutput


class DetectorAndGenerator(nn.Module):
    """The key-point detector and the generator as one module, so that one DDP wrapper holds both."""

    def __init__(self, detector: KeypointDetector, generator: DaganGenerator) -> None:
        super().__init__()
        self.detector = detector
        self.generator = generator

    def forward(self, source: Tensor, driving: Tensor, deformed: Tensor | None = None) -> DaganForwardOutput:
        """The key points and the output for pictures [B, 4, S, S], RGB and disparity in [0, 1]."""
        source_points, driving_points = self.detector(source), self.detector(driving)
        deformed_points = None if deformed is None else self.detector(deformed)
        output = self.generator(source[:, :3], source[:, 3:], source_points, driving_points)
        return DaganForwardOutput(source_points, driving_points, deformed_points, output)


@dataclass
class DaganTrainingState(TrainingProgress):
    """All that changes while DaGAN is trained."""

    model: DetectorAndGenerator
    critic: Discriminator
    optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer

    def checkpoint_entries(self) -> Iterator[tuple[str, str, nn.Module]]:
        """List for each network its entry in a checkpoint, the name of its layout (of any size), and the network."""
        yield "generator", "dagan-generator-15", self.model.generator
        yield "kp_detector", "dagan-keypoints-rgbd-15", self.model.detector
        yield "discriminator", "dagan-discriminator-15", self.critic


def new_state(recipe: DaganRecipe, device: torch.device, init: Path | None = None) -> DaganTrainingState:
    """New networks, or those of the file ``init`` in the published layout, and optimisers. Raises: WeightsError."""
    sizes = recipe.sizes.to_builder_sizes()
    network = DetectorAndGenerator(build_keypoint_detector(sizes), build_generator(sizes))
    network = place_network(network, device)
    critic = recipe.sizes.build_discriminator().to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, betas=_BETAS)
    critic_optimiser = torch.optim.Adam(critic.parameters(), lr=recipe.rate, betas=_BETAS)
    state = DaganTrainingState(network, critic, optimiser, critic_optimiser)
    if init is not None:
        _load_initial_weights(state, init)
    return state


def save_state(state: DaganTrainingState, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document: dict[str, Any] = {
        entry: to_official_keys(layout, network.state_dict()) for entry, layout, network in state.checkpoint_entries()
    }
    document["optimizer_joint"] = state.optimiser.state_dict()
    document["optimizer_discriminator"] = state.critic_optimiser.state_dict()
    document["counts"] = state.counts()
    write_checkpoint(document, path)


def load_state(state: DaganTrainingState, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none, WeightsMismatchError for other sizes."""
    document = read_checkpoint(path)
    try:
        for entry, layout, network in state.checkpoint_entries():
            load_strict_state(network, _to_own_keys(layout, network, document[entry]), f"{path} ({entry})")
        state.optimiser.load_state_dict(document["optimizer_joint"])
        state.critic_optimiser.load_state_dict(document["optimizer_discriminator"])
        state.restore_counts(document["counts"])
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


def _to_own_keys(layout: str, network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published keys to ours, whatever the widths; an unknown key keeps its name and is refused later."""
    names = to_official_keys(layout, {key: key for key in network.state_dict()})
    return {names.get(key, key): value for key, value in tensors.items()}


def read_face_depth(files: Sequence[Path]) -> FaceDepthNetwork:
    """The frozen face depth network of ``files`` in the published layout, or without files the imported one.

    Raises: WeightsError with the ways to get it.
    """
    if not files:
        # it needs more packages than a machine may have that only trains
        from livehead.weights.checkpoint_store import CheckpointStore

        store = CheckpointStore()
        name = next((name for name in _DEPTH_MODELS if name in store.list_names()), None)
        if name is None:
            remedy = f"train it (livehead train depth) and give --depth runs/depth/{CHECKPOINT}; or "
            missing = find_checkpoint_spec(_DEPTH_MODELS[0]).missing_error("training dagan")
            raise type(missing)(missing.problem, remedy + missing.remedy, subject=missing.subject)
        parts = store.load(name, ["encoder", "depth"])
    else:
        parts = _read_depth_parts(files)
    encoder, decoder = parts["encoder"], parts["depth"]
    assert isinstance(encoder, ResNet)
    assert isinstance(decoder, DepthDecoder)
    return FaceDepthNetwork(encoder, decoder).eval().requires_grad_(False)


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
