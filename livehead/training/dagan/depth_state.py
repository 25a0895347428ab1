"""The state of a run of face depth, and its checkpoints in the published layout.

``latest.pth.tar`` has ``encoder``, ``depth``, ``pose_encoder`` and ``pose`` under their published key names, so that
``livehead weights import`` and ``livehead train dagan --depth`` take it, and beside them what is needed to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from livehead.errors import ConfigError, WeightsMismatchError
from livehead.models.dagan.build import build_depth_decoder
from livehead.models.dagan.camera_pose import CameraEstimate, CameraPoseDecoder
from livehead.models.resnet import LayerCount, ResNet
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.dagan.recipe import DepthRecipe
from livehead.training.distributed import place_network
from livehead.training.progress import TrainingProgress
from livehead.weights.checkpoint import read_checkpoint as read_foreign
from livehead.weights.convert import to_official_keys
from livehead.weights.safetensors_file import load_strict_state

CHECKPOINT = "latest.pth.tar"


class DepthOutput(NamedTuple):
    """``disparities`` [B, 1, S / 2^s, S / 2^s] of the middle frame, and the camera's motion before and after it."""

    disparities: list[Tensor]
    pose_before: CameraEstimate
    pose_after: CameraEstimate


class DepthAndPose(nn.Module):
    """The depth and pose networks as one module, so that one DDP wrapper holds both."""

    def __init__(self, layers: LayerCount) -> None:
        super().__init__()
        self.encoder = ResNet(layers)
        self.depth = build_depth_decoder(layers)
        self.pose_encoder = ResNet(layers, frames=2)
        self.pose = CameraPoseDecoder(self.encoder.widths[-1])

    def forward(self, frames: Tensor) -> DepthOutput:
        """The output for three neighbouring frames [B, 3, 3, S, S] in the order of time, RGB in [0, 1]."""
        disparities = self.depth(self.encoder(frames[:, 1]))
        before, after = (self.pose(self.pose_encoder(frames[:, i : i + 2].flatten(1, 2))[-1]) for i in range(2))
        return DepthOutput(disparities, before, after)


@dataclass
class DepthTrainingState(TrainingProgress):
    """All that changes while face depth is trained."""

    model: DepthAndPose
    optimiser: torch.optim.Optimizer

    def checkpoint_entries(self, layers: LayerCount) -> Iterator[tuple[str, str, nn.Module]]:
        """The entry of each network in a checkpoint, the name of its layout, and the network."""
        yield "encoder", f"dagan-depth-encoder-{layers}", self.model.encoder
        yield "depth", f"dagan-depth-decoder-{layers}", self.model.depth
        yield "pose_encoder", f"dagan-pose-encoder-{layers}", self.model.pose_encoder
        yield "pose", f"dagan-pose-decoder-{layers}", self.model.pose


def new_state(recipe: DepthRecipe, device: torch.device, init: Path | None = None) -> DepthTrainingState:
    """New networks and their optimiser; encoders start from the recipe's ResNet, or everything from the file ``init``.

    Raises: WeightsError.
    """
    network = DepthAndPose(recipe.layers)
    if recipe.resnet is not None:
        _load_resnet_weights(network, recipe.resnet)
    network = place_network(network, device)
    state = DepthTrainingState(network, torch.optim.Adam(network.parameters(), lr=recipe.rate))
    if init is not None:
        found = {part.entry: part.tensors for part in read_foreign(init)}
        _load_networks(state, recipe.layers, found, init)
    return state


def save_state(state: DepthTrainingState, layers: LayerCount, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document: dict[str, Any] = {
        entry: to_official_keys(name, net.state_dict()) for entry, name, net in state.checkpoint_entries(layers)
    }
    document["optimizer"] = state.optimiser.state_dict()
    document["counts"] = state.counts()
    write_checkpoint(document, path)


def load_state(state: DepthTrainingState, layers: LayerCount, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none, WeightsMismatchError for other layers."""
    document = read_checkpoint(path)
    _load_networks(state, layers, document, path)
    try:
        state.optimiser.load_state_dict(document["optimizer"])
        state.restore_counts(document["counts"])
    except KeyError as error:
        raise ConfigError(f"{path} lacks {error}: no run wrote it", "start anew without --resume") from error


def _load_networks(
    state: DepthTrainingState, layers: LayerCount, found: Mapping[str, Mapping[str, Tensor]], path: Path
) -> None:
    for entry, name, network in state.checkpoint_entries(layers):
        if entry not in found:
            raise WeightsMismatchError(f"{path} has no {entry}", "name a checkpoint of a depth run", subject=str(path))
        ours = to_official_keys(name, {key: key for key in network.state_dict()})
        tensors = {ours.get(key, key): value for key, value in found[entry].items()}
        load_strict_state(network, tensors, f"{path} ({entry})")


def _load_resnet_weights(model: DepthAndPose, path: Path) -> None:
    """Load both encoders from one classifier; the pose network's first layer weighs each of its two pictures half."""
    plain = {key: value for part in read_foreign(path) for key, value in part.tensors.items()}
    plain = {key: value for key, value in plain.items() if not key.startswith("fc.")}
    if "conv1.weight" not in plain:
        raise WeightsMismatchError(f"{path} is no ResNet", "name torchvision's state dict of one", subject=str(path))
    load_strict_state(model.encoder, plain, str(path))
    plain["conv1.weight"] = torch.cat([plain["conv1.weight"]] * 2, dim=1) / 2
    load_strict_state(model.pose_encoder, plain, str(path))
