"""How long OpenPose's network takes for a picture, and how the time of its decoder grows with the people in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from livehead.bench.module_timing import count_gflops
from livehead.bench.timing import time_round_robin
from livehead.models.engine import ExecutionConfig, optimize_for_inference
from livehead.models.openpose.decoder import BodyPoseDecoder
from livehead.models.openpose.heatmaps import Array
from livehead.models.openpose.skeletons import BODY_25
from livehead.models.openpose.targets import build_target_maps
from livehead.models.quantize import ActivationRanges
from livehead.reporting.report import Json
from livehead.stats import summarize_ms

INPUT_SIZE = (656, 368)
"""Width and height of the network input whose maps are decoded: that of a wide picture."""

PEOPLE_COUNTS = (1, 2, 5, 10, 15, 20)
FEW_PEOPLE, MANY_PEOPLE = 5, 20

_PERSON_HEIGHT, _PERSON_WIDTH = 168, 62  # pixels for one drawn person
_NOISE_STD = 0.01  # of the drawn maps, standard deviation

# a standing person by BODY_25's parts, x and y as shares of the width and height of its box
_STANDING_POSE = (
    *((0.5, 0.06), (0.5, 0.17), (0.36, 0.18), (0.24, 0.32), (0.2, 0.46), (0.64, 0.18), (0.76, 0.32), (0.8, 0.46)),
    *((0.5, 0.5), (0.41, 0.5), (0.39, 0.72), (0.38, 0.92), (0.59, 0.5), (0.61, 0.72), (0.62, 0.92)),
    *((0.46, 0.04), (0.54, 0.04), (0.41, 0.05), (0.59, 0.05)),
    *((0.68, 0.98), (0.74, 0.96), (0.6, 0.95), (0.32, 0.98), (0.26, 0.96), (0.4, 0.95)),
)


def synthesize_people(count: int, seed: int = 0) -> Array:
    """[count, 25, 3]: standing people of one size, side by side in two rows, each a little different."""
    rng = np.random.default_rng(seed)
    columns = INPUT_SIZE[0] // _PERSON_WIDTH
    places = np.arange(2 * columns)[:count]
    shape = np.array(_STANDING_POSE, np.float32) + rng.normal(0, 0.012, (count, len(_STANDING_POSE), 2))
    points = shape * (_PERSON_WIDTH, _PERSON_HEIGHT)
    points[..., 0] += (places % columns)[:, None] * _PERSON_WIDTH + 4
    points[..., 1] += (places // columns)[:, None] * (INPUT_SIZE[1] // 2) + 6
    people: Array = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2).astype(np.float32)
    return people


def synthesize_maps(count: int, seed: int = 0) -> Array:
    """The maps [78, 46, 82] that a network should give for ``synthesize_people``, with a little noise."""
    maps = build_target_maps(synthesize_people(count, seed), BODY_25, INPUT_SIZE)
    noisy: Array = (maps + np.random.default_rng(seed).normal(0, _NOISE_STD, maps.shape)).astype(np.float32)
    return noisy


def bench_network(
    network: nn.Module,
    settings: Mapping[str, tuple[ExecutionConfig, ActivationRanges | None]],
    picture: Tensor,
    rounds: int,
) -> dict[str, Json]:
    """Time one picture [1, 3, H, W] through ``network`` by each of ``settings`` and as it stands, in turns.

    ``network`` is float32 and in evaluation mode. ``map_error`` is each way's error in the maps over the largest value
    of the plain ones.
    """
    with torch.inference_mode():
        plain = network(picture)
        gflops = count_gflops(partial(network, picture))
    runs: dict[str, Callable[[], object]] = {"plain": partial(network, picture)}
    errors: dict[str, Json] = {}
    for name, (setting, ranges) in settings.items():
        ready = optimize_for_inference(network, setting, parts={"": lambda maps: maps}, ranges=ranges)
        x = picture.to(setting.device, setting.dtype).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            difference = (ready(x).float().cpu() - plain).abs()
        span = float(plain.abs().max())
        errors[name] = {"largest": float(difference.max()) / span, "mean": float(difference.mean()) / span}
        runs[name] = partial(ready, x)
    times = _time_in_turns(runs, rounds)
    plain_ms = times.pop("plain")
    return {
        "frames": {name: summarize_ms(samples) for name, samples in times.items()},
        "frame_fp32_uncached": summarize_ms(plain_ms),
        "speedup": {name: round(float(np.median(plain_ms) / np.median(ms)), 3) for name, ms in times.items()},
        "map_error": errors,
        "gflops": gflops,
        "input": list(picture.shape),
    }


def bench_decoder(rounds: int, people_counts: Sequence[int] = PEOPLE_COUNTS) -> tuple[dict[str, Json], dict[str, Json]]:
    """The decoder's time on one core: for ``FEW_PEOPLE`` beside the plain way, and for each of ``people_counts``.

    Raises: AssertionError when the decoder does not find the drawn people.
    """
    decoder = BodyPoseDecoder(BODY_25)
    maps = {count: synthesize_maps(count) for count in people_counts}
    runs: dict[str, Callable[[], object]] = {}
    for count, each in maps.items():
        found = len(decoder.decode(each).score)
        if found != count:
            raise AssertionError(f"the decoder found {found} of {count} drawn people")
        runs[str(count)] = partial(decoder.decode, each)
    runs["plain"] = partial(decoder.decode_upsampled, maps[FEW_PEOPLE])
    with pin_to_one_core():
        times = _time_in_turns(runs, rounds)
    plain = times.pop("plain")
    many_to_few = float(np.median(times[str(MANY_PEOPLE)]) / np.median(times[str(FEW_PEOPLE)]))
    results: dict[str, Json] = {
        **summarize_ms(times[str(FEW_PEOPLE)]),
        "plain": summarize_ms(plain),
        "people": FEW_PEOPLE,
        "input": list(INPUT_SIZE),
        f"ratio_{MANY_PEOPLE}_to_{FEW_PEOPLE}": round(many_to_few, 3),
    }
    return results, {name: summarize_ms(samples) for name, samples in times.items()}


@contextmanager
def pin_to_one_core() -> Iterator[None]:
    """Keep this process, with all of its threads to come, on one core, where the system can do so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    before = {thread: os.sched_getaffinity(thread) for thread in threads}
    core = min(before[threads[0]])
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {core})
        yield
    finally:
        for thread, cores in before.items():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)


@torch.inference_mode()
def _time_in_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each of ``runs``, each once in every round, after one call of each that is left out."""
    plans = {name: (lambda _, run=run: run(), rounds) for name, run in runs.items()}
    return time_round_robin(plans, [None], warm_up=1, turns=rounds, later_warm_up=0)
