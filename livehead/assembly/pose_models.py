"""Finders of people, made from imported weights or from MediaPipe."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from livehead.errors import ConfigError, did_you_mean
from livehead.weights.catalog import find_checkpoint_spec
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from torch import nn

    from livehead.models.engine import Precision
    from livehead.models.openpose.decoder import BodyPoseDecoder
    from livehead.models.openpose.networks import BranchNetwork
    from livehead.models.quantize import ActivationRanges
    from livehead.perception.people import PeopleFinder, PoseNetwork, PoseOptions

MEDIAPIPE = "mediapipe"
BODY_NETWORKS = ("openpose-body25", "openpose-coco18", "openpose-mpi15")
"""Published networks that find bodies, the one to prefer first."""

QUICK_MPI_MODEL = "openpose-mpi15-4"
"""MPI_15's first four stages, as their own file of the published program has them: quicker and less sure."""

PYTORCH_OPENPOSE = "pytorch-openpose"
"""COCO_18's network with the decoder of pytorch-openpose."""

POSE_MODELS = (MEDIAPIPE, *BODY_NETWORKS, QUICK_MPI_MODEL, PYTORCH_OPENPOSE)
HAND_NETWORK, FACE_NETWORK = "openpose-hand21", "openpose-face70"

_QUICK_MPI_STAGES, _QUICK_MPI_PEAK = 4, 0.3  # of the quick MPI_15


_SINGLE_PERSON_MODELS = (MEDIAPIPE,)


def describe_person_limit(model: str, store: CheckpointStore) -> str:
    """One line on how many people ``model`` finds and what finds more; empty where it finds all."""
    if model not in _SINGLE_PERSON_MODELS:
        return ""
    best = resolve_model("auto", store)
    remedy = f"add --model {best}"
    if best in _SINGLE_PERSON_MODELS:
        remedy = find_checkpoint_spec(BODY_NETWORKS[0]).remedy
    return f"{model} finds one person at most, the most evident; to find all people {remedy}"


def max_people(model: str) -> int | None:
    """How many people ``model`` finds at most; None for all."""
    return 1 if model in _SINGLE_PERSON_MODELS else None


def open_people_finder(
    stack: ExitStack,
    model: str,
    options: PoseOptions,
    *,
    hands: bool = False,
    hand_scales: bool = False,
    face: bool = False,
    precision: str = "auto",
    grouping: str = "score",
    all_found: bool = False,
) -> PeopleFinder:
    """A finder of people by ``model``; ``auto`` is the best body network that was imported, else MediaPipe.

    ``stack`` closes the finder. Raises: ConfigError for an unknown name, WeightsError.
    """
    from livehead.perception.people import HandFaceFinder, MediaPipeFinder

    store = CheckpointStore()
    name = resolve_model(model, store)
    finder: PeopleFinder
    if name == MEDIAPIPE:
        if options.scales > 1:
            raise _scales_error()
        finder = stack.enter_context(MediaPipeFinder(is_video=options.is_video))
    else:
        finder = _make_openpose_finder(name, store, options, precision, grouping, all_found=all_found)
    if not hands and not face:
        return finder
    hand, faces = (
        load_network(each, store, precision) if asked else None
        for each, asked in ((HAND_NETWORK, hands), (FACE_NETWORK, face))
    )
    return HandFaceFinder(finder, hand=hand, face=faces, is_video=options.is_video, hand_scales=hand_scales)


def check_people_finder(model: str, *, hands: bool, face: bool, scales: int, net_height: int) -> None:
    """Look at everything that ``open_people_finder`` takes, without loading a network.

    Raises: ConfigError, WeightsMissingError with how to get what is missing.
    """
    from livehead.models.openpose.network_input import network_input_size, scaled_sizes

    store = CheckpointStore()
    name = resolve_model(model, store)
    if name == MEDIAPIPE and scales > 1:
        raise _scales_error()
    size = network_input_size(net_height, net_height, net_height)
    scaled_sizes(size, scales)
    wanted = [] if name == MEDIAPIPE else [_weights_name(name)]
    wanted += [network for network, asked in ((HAND_NETWORK, hands), (FACE_NETWORK, face)) if asked]
    for network in wanted:
        _require_imported(network, store)


def resolve_model(model: str, store: CheckpointStore) -> str:
    """The name of the model that ``model`` means here, where ``auto`` is the best that was imported.

    Raises: ConfigError naming the nearest known one.
    """
    if model == "auto":
        imported = store.list_names()
        return next((name for name in BODY_NETWORKS if name in imported), MEDIAPIPE)
    if model not in POSE_MODELS:
        raise ConfigError(
            f"there is no pose model {model!r}", did_you_mean(model, ("auto", *POSE_MODELS)), subject=model
        )
    return model


def _make_openpose_finder(
    name: str, store: CheckpointStore, options: PoseOptions, precision: str, grouping: str, *, all_found: bool
) -> PeopleFinder:
    from dataclasses import replace

    from livehead.models.openpose.decoder import AssemblyMethod, BodyPoseDecoder, DecoderThresholds
    from livehead.models.openpose.skeletons import SKELETONS
    from livehead.perception.people import OpenPoseFinder, PytorchOpenPoseFinder

    weights = _weights_name(name)
    network = load_network(weights, store, precision, stages=_QUICK_MPI_STAGES if name == QUICK_MPI_MODEL else None)
    if name == PYTORCH_OPENPOSE:
        return PytorchOpenPoseFinder(network)
    skeleton = SKELETONS[weights.removeprefix("openpose-")]
    rules = DecoderThresholds.for_skeleton(skeleton, maximize_positives=all_found)
    if name == QUICK_MPI_MODEL:
        rules = replace(rules, peak_threshold=min(rules.peak_threshold, _QUICK_MPI_PEAK))
    decoder: BodyPoseDecoder = BodyPoseDecoder(skeleton, rules, cast("AssemblyMethod", grouping))
    return OpenPoseFinder(network, decoder, options)


def load_network(name: str, store: CheckpointStore, precision: str, stages: int | None = None) -> PoseNetwork:
    """An imported network under ``precision``. Raises: WeightsError with how to get it, ConfigError."""
    from livehead.models.engine import choose_execution_config
    from livehead.perception.people import PoseNetwork

    _require_imported(name, store)
    network = store.load(name, ["network"])["network"]
    if stages is not None:
        network = cast("BranchNetwork", network).truncate_stages(stages)
    # eight bits only on request: what they cost depends on the weights, and that was not measured
    setting = choose_execution_config(cast("Precision", precision), has_ranges=precision == "int8")
    return PoseNetwork(network, setting, calibrate_int8(network) if setting.int8 else None)


def calibrate_int8(network: nn.Module) -> ActivationRanges:
    """The ranges that int8 needs for a network, measured on the portraits that ship."""
    import torch

    from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT
    from livehead.models.openpose.network_input import DEFAULT_HEIGHT, fit_image
    from livehead.models.quantize import observe_ranges
    from livehead.perception.photo import read_photo

    @torch.inference_mode()
    def run_network() -> None:
        for path in (ASTRONAUT_PHOTO, DRAWN_PORTRAIT):
            network(torch.from_numpy(fit_image(read_photo(path), (DEFAULT_HEIGHT, DEFAULT_HEIGHT)).pixels)[None])

    return observe_ranges(network, run_network)


def _weights_name(model: str) -> str:
    """The checkpoint that a model's network comes from."""
    return {QUICK_MPI_MODEL: "openpose-mpi15", PYTORCH_OPENPOSE: "openpose-coco18"}.get(model, model)


def _require_imported(name: str, store: CheckpointStore) -> None:
    if name not in store.list_names():
        raise find_checkpoint_spec(name).missing_error("this pose model")


def _scales_error() -> ConfigError:
    return ConfigError("several scales are for OpenPose's networks", "leave --scales out")
