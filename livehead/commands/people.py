"""The roof's carpentry for poses: from imported weights to what finds people."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from livehead.errors import ConfigError
from livehead.registry import suggestion
from livehead.weights.library import Library
from livehead.weights.published import find_publication

if TYPE_CHECKING:
    from torch import nn

    from livehead.models.engine import Precision
    from livehead.models.openpose.decoder import Decoder
    from livehead.models.openpose.networks import BranchNetwork
    from livehead.models.quantize import Ranges
    from livehead.perception.people import Look, Network, PeopleFinder

MEDIAPIPE = "mediapipe"
BODIES = ("openpose-body25", "openpose-coco18", "openpose-mpi15")
"""Published networks that find bodies, the one to prefer first."""

QUICK_MPI = "openpose-mpi15-4"
"""MPI_15's first four stages, as their own file of the published program has them: quicker and less sure."""

PYTORCH = "pytorch-openpose"
"""COCO_18's network with the decoder of pytorch-openpose."""

MODELS = (MEDIAPIPE, *BODIES, QUICK_MPI, PYTORCH)
HAND, FACE = "openpose-hand21", "openpose-face70"

_STAGES, _PEAK = 4, 0.3  # of the quick MPI_15


def find_people_with(
    stack: ExitStack,
    model: str,
    look: Look,
    *,
    hands: bool = False,
    hand_scales: bool = False,
    face: bool = False,
    precision: str = "auto",
    assembly: str = "score",
    all_found: bool = False,
) -> PeopleFinder:
    """What finds people by ``model``; ``auto`` is the best body network that was imported, else MediaPipe.

    What has to be closed is given to ``stack``. Raises: ConfigError for an unknown name, WeightsError.
    """
    from livehead.perception.people import DetailFinder, MediaPipeFinder

    library = Library()
    name = resolved(model, library)
    finder: PeopleFinder
    if name == MEDIAPIPE:
        if look.scales > 1:
            raise ConfigError("several scales are for OpenPose's networks", "leave --scales out")
        finder = stack.enter_context(MediaPipeFinder(film=look.film))
    else:
        finder = _by_network(name, library, look, precision, assembly, all_found=all_found)
    if not hands and not face:
        return finder
    hand, faces = (
        load_network(each, library, precision) if asked else None for each, asked in ((HAND, hands), (FACE, face))
    )
    return DetailFinder(finder, hand=hand, face=faces, film=look.film, hand_scales=hand_scales)


def resolved(model: str, library: Library) -> str:
    """``model``, or what ``auto`` means here. Raises: ConfigError naming the nearest known one."""
    if model == "auto":
        imported = library.names()
        return next((name for name in BODIES if name in imported), MEDIAPIPE)
    if model not in MODELS:
        raise ConfigError(f"there is no pose model {model!r}", suggestion(model, ("auto", *MODELS)), subject=model)
    return model


def _by_network(
    name: str, library: Library, look: Look, precision: str, assembly: str, *, all_found: bool
) -> PeopleFinder:
    from dataclasses import replace

    from livehead.models.openpose.decoder import Assembly, Decoder, Rules
    from livehead.models.openpose.skeletons import SKELETONS
    from livehead.perception.people import OpenPoseFinder, SmoothedFinder

    weights = {QUICK_MPI: "openpose-mpi15", PYTORCH: "openpose-coco18"}.get(name, name)
    network = load_network(weights, library, precision, stages=_STAGES if name == QUICK_MPI else None)
    if name == PYTORCH:
        return SmoothedFinder(network)
    skeleton = SKELETONS[weights.removeprefix("openpose-")]
    rules = Rules.of(skeleton, all_found=all_found)
    if name == QUICK_MPI:
        rules = replace(rules, peak=min(rules.peak, _PEAK))
    decoder: Decoder = Decoder(skeleton, rules, cast("Assembly", assembly))
    return OpenPoseFinder(network, decoder, look)


def load_network(name: str, library: Library, precision: str, stages: int | None = None) -> Network:
    """An imported network under ``precision``. Raises: WeightsError with how to get it, ConfigError."""
    from livehead.models.engine import choose_setting
    from livehead.perception.people import Network

    if name not in library.names():
        raise find_publication(name).missing("this pose model")
    network = library.load(name, ["network"])["network"]
    if stages is not None:
        network = cast("BranchNetwork", network).shortened(stages)
    # eight bits only for who asks: what they cost depends on the weights, and that was not measured
    setting = choose_setting(cast("Precision", precision), ranges=precision == "int8")
    return Network(network, setting, own_ranges(network) if setting.integer else None)


def own_ranges(network: nn.Module) -> Ranges:
    """What int8 needs to know of a network, measured on the portraits that ship."""
    import torch

    from livehead.commands.performer import ASTRONAUT, DRAWN
    from livehead.models.openpose.picture import HEIGHT, fit_picture
    from livehead.models.quantize import observe
    from livehead.perception.photo import read_photo

    @torch.inference_mode()
    def run() -> None:
        for path in (ASTRONAUT, DRAWN):
            network(torch.from_numpy(fit_picture(read_photo(path), (HEIGHT, HEIGHT)).pixels)[None])

    return observe(network, run)
