"""``livehead bench model``: the memory that drawing takes, each precision in a process of its own.

The process that times the precisions side by side holds all of them at once, which a process that draws need not.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import cast

from livehead.assembly.conr import CONR_MODEL as CONR
from livehead.assembly.dagan import CHECKPOINTS
from livehead.assembly.driving_clip import record_driving
from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.bench.conr import make_conr_draw
from livehead.config import RunSettings
from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
from livehead.renderers.dagan import DaganRenderer
from livehead.reporting.report import Json
from livehead.stats import peak_memory_mb

log = logging.getLogger(__name__)

_FRAMES = 4


def add_peak_memory(results: dict[str, Json], settings: RunSettings, name: str) -> dict[str, Json]:
    """``results`` of timing the model ``name`` with ``peaks_mb`` of each precision, and ``peak_mb`` of the one used."""
    peaks = measure_peaks_mb(settings, name, cast("dict[str, Json]", results["frames"]))
    return results | {"peaks_mb": dict(peaks), "peak_mb": peaks[str(results["uses"])]}


def measure_peaks_mb(settings: RunSettings, name: str, precisions: Iterable[str]) -> dict[str, float]:
    """Largest resident memory in MB of a process that prepares a portrait and draws it by ``name`` in each precision.

    Raises: what making the renderer raises.
    """
    log.info("measuring the memory of each precision in a process of its own")
    spawn = multiprocessing.get_context("spawn")  # a forked child would hold what this process does
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes:
        asked = {precision: processes.submit(_measure_peak_mb, settings, name, precision) for precision in precisions}
        return {precision: answer.result() for precision, answer in asked.items()}


def _measure_peak_mb(settings: RunSettings, name: str, precision: str) -> float:
    drawn = make_conr_draw if name == CONR else _make_portrait_draw
    draw = drawn(settings, name, precision)
    for number in range(_FRAMES):
        draw(number)
    return round(peak_memory_mb(), 1)


def _make_portrait_draw(settings: RunSettings, name: str, precision: str) -> Callable[[int], object]:
    """A function that draws a frame, given its number."""
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    rig, timeline = FaceRig(portrait.motion), build_demo_timeline()
    motions = [
        rig.pose_face(timeline.controls_at(timeline.duration_s * number / _FRAMES), 0) for number in range(_FRAMES)
    ]
    size = settings.render_size
    renderer = make_renderer(name, size, precision=precision)
    avatar = renderer.prepare(portrait)
    if name not in CHECKPOINTS:
        return lambda number: renderer.render(avatar, motions[number], size)
    clip = record_driving(portrait, motions)
    detector = cast(DaganRenderer, renderer).detector
    return lambda number: renderer.render(avatar, detector.detect(clip.pictures[number]), size)
