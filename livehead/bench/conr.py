"""``livehead bench model --model conr``: a frame of a character of one view, with its sheet encoded once or anew."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import cast

from livehead.assembly.conr import load_conr, load_ranges, measure_ranges
from livehead.assembly.conr_sample import sample_poses, sample_sheet
from livehead.bench.model import BenchmarkSubject, bench_model
from livehead.bench.module_timing import count_gflops, time_modules
from livehead.config import RunSettings
from livehead.errors import WeightsMissingError
from livehead.interfaces import RenderRequest
from livehead.models.conr.build import build_conr
from livehead.models.conr.network import ConrNetwork
from livehead.models.engine import Precision, choose_execution_config, faster_precisions
from livehead.models.quantize import ActivationRanges
from livehead.perception.figure_framing import CONR_SIDE
from livehead.renderers.conr import ConrRenderer
from livehead.reporting.report import Json
from livehead.stats import StatsCollector
from livehead.threads import set_network_threads

_WARM_UP_FRAMES = 3  # few, as one frame takes long
_BATCH_SIZE = 2

log = logging.getLogger(__name__)


def bench_conr(settings: RunSettings, rounds: int, network: ConrNetwork | None = None) -> dict[str, Json]:
    """Time ``rounds`` frames in every precision that is quick here.

    ``network``: to time in place of the imported one. Where none is imported, an untrained one of the published sizes
    is timed, which takes as long.
    """

    set_network_threads()
    network, weights = (network, "untrained") if network is not None else _load_network()
    exact = _make_renderer(network, "fp32")
    ranges = (load_ranges() if weights == "imported" else {}) or measure_ranges(exact)
    wanted = choose_execution_config(cast(Precision, settings.precision)).precision
    others = {
        precision: _make_renderer(network, cast(Precision, precision), ranges)
        for precision in dict.fromkeys([wanted, *faster_precisions()])
        if precision != "fp32"
    }
    renderers = {"fp32": exact, **others}
    used = renderers[wanted]
    avatar = exact.prepare(sample_sheet())
    motions = sample_poses()
    stats = StatsCollector()
    time_modules(used.parts, stats)
    for renderer in renderers.values():
        renderer.encode(avatar)
    subject = BenchmarkSubject(
        render_by_precision={
            name: partial(renderer.render, avatar, size=CONR_SIDE) for name, renderer in renderers.items()
        },
        used_precision=wanted,
        render_uncached=lambda motion: exact.render_uncached(avatar, motion, CONR_SIDE),
        render_batch=lambda poses: used.render_many([RenderRequest(avatar, pose, CONR_SIDE) for pose in poses]),
        batch_size=_BATCH_SIZE,
        gflops={
            "cached": count_gflops(lambda: exact.render(avatar, motions[0], CONR_SIDE)),
            "uncached": count_gflops(lambda: exact.render_uncached(avatar, motions[0], CONR_SIDE)),
        },
        stats=stats,
        warm_up=_WARM_UP_FRAMES,
    )
    return bench_model(subject, motions, rounds) | {"weights": weights, "views": len(avatar.views)}


def _make_renderer(network: ConrNetwork, precision: Precision, ranges: ActivationRanges | None = None) -> ConrRenderer:
    return ConrRenderer(network, choose_execution_config(precision, has_ranges=bool(ranges)), ranges=ranges)


def make_conr_draw(
    settings: RunSettings, name: str, precision: str, network: ConrNetwork | None = None
) -> Callable[[int], object]:
    """A function that draws a frame, given its number, with one renderer and nothing else in memory."""
    network = network or _load_network()[0]
    renderer = _make_renderer(
        network, cast(Precision, precision), _placeholder_ranges(network) if precision == "int8" else None
    )
    avatar, motions = renderer.prepare(sample_sheet()), sample_poses()
    return lambda number: renderer.render(avatar, motions[number % len(motions)], CONR_SIDE)


def _placeholder_ranges(network: ConrNetwork) -> ActivationRanges:
    """A range for each layer: the memory that drawing takes does not depend on their values."""
    import torch

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    return {name: (-1.0, 1.0) for name, module in network.named_modules() if isinstance(module, kinds)}


def _load_network() -> tuple[ConrNetwork, str]:
    try:
        return load_conr(), "imported"
    except WeightsMissingError as error:
        log.warning("%s: measuring untrained ones of the published sizes", error.problem)
        return build_untrained_conr(), "untrained"


def build_untrained_conr() -> ConrNetwork:
    """The published sizes, with random weights under which signals keep their size from layer to layer."""
    import torch

    torch.manual_seed(0)
    network = build_conr().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            fan = module.weight[0].numel()
            torch.nn.init.uniform_(module.weight, -((6 / fan) ** 0.5), (6 / fan) ** 0.5)
    return network
