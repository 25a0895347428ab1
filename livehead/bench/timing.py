"""Loops that time calls: one after the other, in turns with others, or at a frame rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from livehead.assembly.progress import ProgressMeter

_ROUND_ROBIN_TURNS = 10


def time_calls(call: Callable[[Any], object], inputs: Iterable[Any]) -> list[float]:
    """Milliseconds of each call of ``call``, one for each of ``inputs``."""
    times = []
    for each in inputs:
        start = time.perf_counter_ns()
        call(each)
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def time_frames(render: Callable[[Any], object], motions: Sequence[Any], rounds: int, warm_up: int = 10) -> list[float]:
    """Milliseconds of each of ``rounds`` frames of ``motions``, played over and over, after a warm-up."""
    for motion in cycle_inputs(motions, warm_up):
        render(motion)
    return time_calls(render, cycle_inputs(motions, rounds))


def time_round_robin(
    plans: Mapping[str, tuple[Callable[[Any], object], int]],
    motions: Sequence[Any],
    warm_up: int,
    *,
    turns: int = _ROUND_ROBIN_TURNS,
    later_warm_up: int = 1,
) -> dict[str, list[float]]:
    """Milliseconds of each frame of each of ``plans``, which are a way to draw and how many frames.

    All plans take turns, so that a machine that is busy for a while is busy for all of them. In a turn each draws some
    frames in a row, as it would alone; ``warm_up`` frames before its first turn and ``later_warm_up`` before each later
    one are left out.
    """
    turns = max(1, min(turns, *(rounds for _, rounds in plans.values())))
    times: dict[str, list[float]] = {name: [] for name in plans}
    with ProgressMeter(sum(rounds for _, rounds in plans.values()), "timing") as meter:
        for turn in range(turns):
            for name, (render, rounds) in plans.items():
                first, end = rounds * turn // turns, rounds * (turn + 1) // turns
                played = [motions[number % len(motions)] for number in range(first, end)]
                times[name] += time_frames(render, played, end - first, later_warm_up if turn else warm_up)
                meter.advance(end - first)
    return times


def time_paced_frames(
    estimate: Callable[[int], object], frames: int, fps: float, sleep: Callable[[float], None]
) -> list[float]:
    """Milliseconds of each call of ``estimate`` (with the frame's number), called ``fps`` times a second at most."""
    samples = []
    start = time.perf_counter()
    for number in range(frames):
        due = start + number / fps
        sleep(max(due - time.perf_counter(), 0.0))
        samples += time_calls(estimate, [number])
    return samples


def cycle_inputs(inputs: Sequence[Any], count: int) -> Iterable[Any]:
    """``count`` of ``inputs``, which begin anew at their end."""
    return (inputs[number % len(inputs)] for number in range(count))
