"""``livehead bench model --sessions``: several sessions that draw at once, each with its own network or all with one.

Every case runs in a process of its own, so that its memory is its own, and the two ways take turns, so that a machine
that is busy for a while is busy for both.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from statistics import median
from typing import Any, Literal, TypeAlias, cast, get_args

from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.progress import ProgressMeter
from livehead.assembly.shared_renderers import SharedRenderers
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.interfaces import Renderer
from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.registry import find_renderer
from livehead.renderers.batching import BatchingRenderer
from livehead.reporting.report import Json
from livehead.stats import peak_memory_mb, summarize_ms
from livehead.threads import limit_helper_threads, live_network_threads

log = logging.getLogger(__name__)

SharingMode: TypeAlias = Literal["own", "shared"]
"""A network for each session, as it was before, or one network for all of them."""

SESSION_COUNTS = (1, 4, 8)
_WARM_UP_FRAMES = 3
_MOTIONS = 30


def measure_sessions(
    settings: RunSettings, name: str, frames: int, counts: Sequence[int] = SESSION_COUNTS, turns: int = 3
) -> dict[str, Json]:
    """Figures of ``name`` by way and number of sessions, each of which draws ``frames`` frames as fast as it can.

    ``fps`` of all sessions together, ``frame_ms`` from asking for a picture to having it, ``peak_mb`` of the process:
    the median of ``turns``. Raises: ConfigError for a model that does not take the face mesh, and what making the
    renderer raises.
    """
    if MESH478 not in find_renderer(name).motion_sets:
        raise ConfigError(
            f"sessions are not measured with {name}, which does not take the face mesh",
            "use --model compact or --model warp",
            subject=name,
        )
    log.info("drawing %s by %s sessions at once, %d times", name, ", ".join(map(str, counts)), turns)
    spawn = multiprocessing.get_context("spawn")  # a forked child would hold what this process does
    measured: dict[tuple[SharingMode, int], list[dict[str, Any]]] = {}
    cases = turns * len(counts) * len(get_args(SharingMode))
    with (
        ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes,
        ProgressMeter(cases, "drawing", "case") as meter,
    ):
        for _ in range(turns):
            for count in counts:
                for mode in get_args(SharingMode):
                    figures = processes.submit(_measure_case, settings, name, mode, count, frames).result()
                    measured.setdefault((mode, count), []).append(figures)
                    meter.advance()
    return {
        mode: {str(count): _middle_turn(measured[mode, count]) for count in counts} for mode in get_args(SharingMode)
    }


def format_sessions(results: dict[str, Json]) -> str:
    """A line for each way and number of sessions."""
    lines = []
    for mode, cases in results.items():
        for count, figures in cast("dict[str, dict[str, Any]]", cases).items():
            milliseconds = figures["frame_ms"]["median"]
            lines.append(
                f"{count} sessions, {mode:6} network: {figures['fps']:6.1f} frames a second in all, "
                f"{milliseconds:6.1f} ms a frame, {figures['peak_mb']:7.1f} MB"
            )
    return "\n".join(lines)


def _middle_turn(turns: Sequence[dict[str, Any]]) -> dict[str, Json]:
    """The turn whose frames a second are the median of all."""
    return sorted(turns, key=lambda figures: float(figures["fps"]))[len(turns) // 2]


def _measure_case(settings: RunSettings, name: str, mode: SharingMode, count: int, frames: int) -> dict[str, Json]:
    limit_helper_threads()  # as in a live call
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    rig, timeline = FaceRig(portrait.motion), build_demo_timeline()
    moments = [timeline.duration_s * number / _MOTIONS for number in range(_MOTIONS)]
    motions = [rig.pose_face(timeline.controls_at(moment), 0) for moment in moments]
    renderers = _make_renderers(settings, name, mode, count)
    size = settings.render_size
    avatars = [renderer.prepare(portrait) for renderer in renderers]
    if isinstance(renderers[0], BatchingRenderer):
        renderers[0].warm_up_batches(avatars[0], size)

    def play(session: int, length: int) -> list[float]:
        """Milliseconds of each of ``length`` frames of one session."""
        return [_time_frame(renderers[session], avatars[session], motions[n % _MOTIONS], size) for n in range(length)]

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(play, range(count), [_WARM_UP_FRAMES] * count))
        start = time.perf_counter()
        times = list(threads.map(play, range(count), [frames] * count))
        seconds = time.perf_counter() - start
    return {
        "fps": round(count * frames / seconds, 2),
        "frame_ms": summarize_ms([sample for session in times for sample in session]),
        "slowest_session_ms": round(max(median(session) for session in times), 3),
        "peak_mb": round(peak_memory_mb(), 1),
    }


def _make_renderers(settings: RunSettings, name: str, mode: SharingMode, count: int) -> list[Renderer[Any, Any, Any]]:
    """One renderer for each session, made with as many threads as in a live call."""
    shared = SharedRenderers(on_cpu=True)
    create = shared.make_renderer if mode == "shared" else make_renderer
    threads = live_network_threads()
    return [create(name, settings.render_size, precision=settings.precision, threads=threads) for _ in range(count)]


def _time_frame(renderer: Renderer[Any, Any, Any], avatar: Any, motion: Keypoints, size: int) -> float:
    start = time.perf_counter_ns()
    renderer.render(avatar, motion, size)
    return (time.perf_counter_ns() - start) / 1e6
