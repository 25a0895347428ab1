"""What a run of face depth is made of, and its checkpoints in the published layout.

``latest.pth.tar`` has ``encoder``, ``depth``, ``pose_encoder`` and ``pose`` under their published key names, so that
``livehead weights import`` and ``livehead train dagan --depth`` take it, and beside them what is needed to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.errors import ConfigError, WeightsMismatchError
from livehead.models.dagan.build import build_depth_decoder
from livehead.models.dagan.camera_pose import CameraEstimate, CameraPoseDecoder
from livehead.models.resnet import LayerCount, ResNet
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.dagan.recipe import DepthRecipe
from livehead.weights.checkpoint import read_checkpoint as read_foreign
from livehead.weights.convert import to_official_keys
from livehead.weights.safetensors_file import load_strict_state

CHECKPOINT = "latest.pth.tar"


class DepthOutput(NamedTuple):
    """``disparities`` [B, 1, S / 2^s, S / 2^s] of the middle frame; the camera's way ``before`` and ``after`` it."""

    disparities: list[Tensor]
    pose_before: CameraEstimate
    pose_after: CameraEstimate


class DepthAndPose(nn.Module):
    """Depth and pose networks as one, which several processes can share."""

    def __init__(self, layers: LayerCount) -> None:
        super().__init__()
        self.encoder = ResNet(layers)
        self.depth = build_depth_decoder(layers)
        self.pose_encoder = ResNet(layers, frames=2)
        self.pose = CameraPoseDecoder(self.encoder.widths[-1])

    def forward(self, frames: Tensor) -> DepthOutput:
        """Three neighbours [B, 3, 3, S, S], in the order of time, RGB in [0, 1]."""
        disparities = self.depth(self.encoder(frames[:, 1]))
        before, after = (self.pose(self.pose_encoder(frames[:, i : i + 2].flatten(1, 2))[-1]) for i in range(2))
        return DepthOutput(disparities, before, after)


@dataclass
class DepthTrainingState:
    """All that changes while training."""

    model: DepthAndPose
    optimiser: torch.optim.Optimizer
    step: int = 0
    samples: int = 0
    seconds: float = 0.0

    def checkpoint_entries(self, layers: LayerCount) -> Iterator[tuple[str, str, nn.Module]]:
        """The entry of each network in a checkpoint, the name of its layout, and the network."""
        yield "encoder", f"dagan-depth-encoder-{layers}", self.model.encoder
        yield "depth", f"dagan-depth-decoder-{layers}", self.model.depth
        yield "pose_encoder", f"dagan-pose-encoder-{layers}", self.model.pose_encoder
        yield "pose", f"dagan-pose-decoder-{layers}", self.model.pose


def new_state(recipe: DepthRecipe, device: torch.device, init: Path | None = None) -> DepthTrainingState:
    """Fresh networks, on the recipe's ResNet, or those of a checkpoint; and their optimiser. Raises: WeightsError."""
    observer = DepthAndPose(recipe.layers)
    if recipe.resnet is not None:
        _load_resnet_weights(observer, recipe.resnet)
    observer = observer.to(device, memory_format=torch.channels_last)
    state = DepthTrainingState(observer, torch.optim.Adam(observer.parameters(), lr=recipe.rate))
    if init is not None:
        found = {part.entry: part.tensors for part in read_foreign(init)}
        _load_networks(state, recipe.layers, found, init)
    return state


def save_state(state: DepthTrainingState, layers: LayerCount, path: Path) -> None:
    """Write a checkpoint; a reader never sees half of one."""
    document = {
        entry: to_official_keys(name, net.state_dict()) for entry, name, net in state.checkpoint_entries(layers)
    }
    document["optimizer"] = state.optimiser.state_dict()
    document["counts"] = {"step": state.step, "samples": state.samples, "seconds": state.seconds}
    write_checkpoint(document, path)


def load_state(state: DepthTrainingState, layers: LayerCount, path: Path) -> None:
    """Go on from a checkpoint. Raises: ConfigError when there is none, WeightsMismatchError for other layers."""
    document = read_checkpoint(path)
    _load_networks(state, layers, document, path)
    try:
        state.optimiser.load_state_dict(document["optimizer"])
        counts = document["counts"]
        state.step, state.samples, state.seconds = counts["step"], counts["samples"], counts["seconds"]
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
    """Both encoders from one classifier; the pose network's first layer sees two pictures, each half as strongly."""
    plain = {key: value for part in read_foreign(path) for key, value in part.tensors.items()}
    plain = {key: value for key, value in plain.items() if not key.startswith("fc.")}
    if "conv1.weight" not in plain:
        raise WeightsMismatchError(f"{path} is no ResNet", "name torchvision's state dict of one", subject=str(path))
    load_strict_state(model.encoder, plain, str(path))
    plain["conv1.weight"] = torch.cat([plain["conv1.weight"]] * 2, dim=1) / 2
    load_strict_state(model.pose_encoder, plain, str(path))
