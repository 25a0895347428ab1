"""``livehead bench model --model conr``: a frame of a character of one view, its sheet kept and not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from livehead.commands.conr import imported_conr
from livehead.commands.options import say
from livehead.config import RunSettings
from livehead.errors import WeightsMissingError
from livehead.figure.mannequin import AT_EASE, Stance, draw_mannequin
from livehead.metrics.bench_model import Subject, bench_model
from livehead.metrics.report import Json
from livehead.metrics.stages import count_gflops, time_parts
from livehead.models.conr.build import build_conr
from livehead.models.conr.network import Conr
from livehead.models.engine import Precision, choose_setting, quicker_precisions
from livehead.motion.udp import UltraDensePose
from livehead.perception.cutout import SIDE, visible_box, window_about
from livehead.perception.sheet import CharacterSheet, make_sheet
from livehead.perception.udp import framed_pose, preview
from livehead.renderers.conr import ConrRenderer
from livehead.stats import Stats, processor

_STANCES = 6
_WARM_UP = 3  # a frame takes long enough to be hot after few
_BATCH = 2


def bench_conr(settings: RunSettings, rounds: int) -> dict[str, Json]:
    """Time ``rounds`` frames in every precision that is quick here. Without imported weights, untrained ones of the
    published sizes take as long."""
    import torch

    torch.set_num_threads(processor()[1])
    network, weights = _network()
    wanted = choose_setting(cast(Precision, settings.precision), ranges=False).precision
    quick = [precision for precision in quicker_precisions() if precision != "int8"]
    renderers = {
        precision: _renderer(network, cast(Precision, precision))
        for precision in dict.fromkeys(["fp32", wanted, *quick])
    }
    exact, used = renderers["fp32"], renderers[wanted]
    avatar = exact.prepare(_sheet())
    motions = _motions()
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


def _renderer(network: Conr, precision: Precision) -> ConrRenderer:
    return ConrRenderer(network, choose_setting(precision, ranges=False), SIDE)


def conr_drawn(settings: RunSettings, name: str, precision: str) -> Callable[[int], object]:
    """Draws a frame, given its number, with one renderer and nothing else in memory."""
    renderer = _renderer(_network()[0], cast(Precision, precision))
    avatar, motions = renderer.prepare(_sheet()), _motions()
    return lambda number: renderer.render(avatar, motions[number % len(motions)])


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


def _sheet() -> CharacterSheet:
    return make_sheet("mannequin", {"mannequin": draw_mannequin(AT_EASE, SIDE).picture})


def _motions() -> list[UltraDensePose]:
    """The doll raising its arms."""
    stances = [Stance(0.1 * i, -1.1 + 0.3 * i, -1.1 + 0.2 * i, 0.1 * i, 0.05) for i in range(_STANCES)]
    motions = []
    for stance in stances:
        pose = draw_mannequin(stance, SIDE).pose
        box = visible_box(preview(pose)[..., 3])
        motions.append(framed_pose(pose, window_about(box or (0, 0, SIDE, SIDE)), 0))
    return motions
