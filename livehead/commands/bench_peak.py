"""``livehead bench model``: the memory that drawing takes, each precision in a process of its own.

The process that times the precisions side by side holds all of them at once, which nobody who draws has to.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import cast

from livehead.commands.bench_conr import conr_drawn
from livehead.commands.bench_live import filmed
from livehead.commands.compose import make_renderer
from livehead.commands.conr import MODEL as CONR
from livehead.commands.dagan import CHECKPOINTS
from livehead.commands.performer import ASTRONAUT, own_portrait
from livehead.config import RunSettings
from livehead.metrics.report import Json
from livehead.motion.performance import Puppet, sample_performance
from livehead.renderers.dagan_full import DaganRenderer
from livehead.stats import peak_mb

_FRAMES = 4


def with_peaks(results: dict[str, Json], settings: RunSettings, name: str) -> dict[str, Json]:
    """``results`` of timing the model ``name`` with ``peaks_mb`` of each precision, and ``peak_mb`` of the one used."""
    peaks = peaks_mb(settings, name, cast("dict[str, Json]", results["frames"]))
    return results | {"peaks_mb": dict(peaks), "peak_mb": peaks[str(results["uses"])]}


def peaks_mb(settings: RunSettings, name: str, precisions: Iterable[str]) -> dict[str, float]:
    """Largest resident memory in MB of a process that prepares a portrait and draws it by ``name`` in each precision.

    Raises: what making the renderer raises.
    """
    spawn = multiprocessing.get_context("spawn")  # a forked child would hold what this process does
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes:
        asked = {precision: processes.submit(_peak_mb, settings, name, precision) for precision in precisions}
        return {precision: answer.result() for precision, answer in asked.items()}


def _peak_mb(settings: RunSettings, name: str, precision: str) -> float:
    drawn = conr_drawn if name == CONR else _portrait_drawn
    draw = drawn(settings, name, precision)
    for number in range(_FRAMES):
        draw(number)
    return round(peak_mb(), 1)


def _portrait_drawn(settings: RunSettings, name: str, precision: str) -> Callable[[int], object]:
    """Draws a frame, given its number."""
    portrait = own_portrait(ASTRONAUT)
    puppet, script = Puppet(portrait.motion), sample_performance()
    motions = [puppet(script.at(script.duration_s * number / _FRAMES), 0) for number in range(_FRAMES)]
    renderer = make_renderer(name, settings.render_size, precision=precision)
    avatar = renderer.prepare(portrait)
    if name not in CHECKPOINTS:
        return lambda number: renderer.render(avatar, motions[number])
    film = filmed(portrait, motions)
    detector = cast(DaganRenderer, renderer).detector
    return lambda number: renderer.render(avatar, detector.detect(film.pictures[number]))
