"""``livehead bench model --model conr``: a frame of a character of one view, its sheet kept and not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from livehead.commands.conr import imported_conr, kept_ranges, measured_ranges
from livehead.commands.doll import doll_poses, doll_sheet
from livehead.commands.options import say
from livehead.config import RunSettings
from livehead.errors import WeightsMissingError
from livehead.metrics.bench_model import Subject, bench_model
from livehead.metrics.report import Json
from livehead.metrics.stages import count_gflops, time_parts
from livehead.models.conr.build import build_conr
from livehead.models.conr.network import Conr
from livehead.models.engine import Precision, choose_setting, quicker_precisions
from livehead.models.quantize import Ranges
from livehead.perception.cutout import SIDE
from livehead.renderers.conr import ConrRenderer
from livehead.stats import Stats, processor

_WARM_UP = 3  # a frame takes long enough to be hot after few
_BATCH = 2


def bench_conr(settings: RunSettings, rounds: int) -> dict[str, Json]:
    """Time ``rounds`` frames in every precision that is quick here. Without imported weights, untrained ones of the
    published sizes take as long."""
    import torch

    torch.set_num_threads(processor()[1])
    network, weights = _network()
    exact = _renderer(network, "fp32")
    ranges = (kept_ranges() if weights == "imported" else {}) or measured_ranges(exact)
    wanted = choose_setting(cast(Precision, settings.precision)).precision
    others = {
        precision: _renderer(network, cast(Precision, precision), ranges)
        for precision in dict.fromkeys([wanted, *quicker_precisions()])
        if precision != "fp32"
    }
    renderers = {"fp32": exact, **others}
    used = renderers[wanted]
    avatar = exact.prepare(doll_sheet())
    motions = doll_poses()
    stats = Stats()
    time_parts(used.parts, stats)
    for renderer in renderers.values():
        renderer.encode(avatar)
    subject = Subject(
        frames={name: partial(renderer.render, avatar) for name, renderer in renderers.items()},
        uses=wanted,
        uncached=lambda motion: exact.draw_anew(avatar, motion),
        batched=lambda poses: used.render_many([(avatar, pose) for pose in poses]),
        batch=_BATCH,
        gflops={
            "cached": count_gflops(lambda: exact.render(avatar, motions[0])),
            "uncached": count_gflops(lambda: exact.draw_anew(avatar, motions[0])),
        },
        stats=stats,
        warm_up=_WARM_UP,
    )
    return bench_model(subject, motions, rounds) | {"weights": weights, "views": len(avatar.views)}


def _renderer(network: Conr, precision: Precision, ranges: Ranges | None = None) -> ConrRenderer:
    return ConrRenderer(network, choose_setting(precision, ranges=bool(ranges)), SIDE, ranges=ranges)


def conr_drawn(settings: RunSettings, name: str, precision: str) -> Callable[[int], object]:
    """Draws a frame, given its number, with one renderer and nothing else in memory."""
    network, _ = _network()
    renderer = _renderer(network, cast(Precision, precision), _any_ranges(network) if precision == "int8" else None)
    avatar, motions = renderer.prepare(doll_sheet()), doll_poses()
    return lambda number: renderer.render(avatar, motions[number % len(motions)])


def _any_ranges(network: Conr) -> Ranges:
    """Memory does not depend on what they are."""
    import torch

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    return {name: (-1.0, 1.0) for name, module in network.named_modules() if isinstance(module, kinds)}


def _network() -> tuple[Conr, str]:
    try:
        return imported_conr(), "imported"
    except WeightsMissingError as error:
        say(f"{error.problem}: measuring untrained ones of the published sizes")
        return untrained(), "untrained"


def untrained() -> Conr:
    """The published sizes, with weights under which the last planes are about as lively as the first."""
    import torch

    torch.manual_seed(0)
    network = build_conr().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            fan = module.weight[0].numel()
            torch.nn.init.uniform_(module.weight, -((6 / fan) ** 0.5), (6 / fan) ** 0.5)
    return network
