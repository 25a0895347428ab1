"""Calls timed alone, in turns and at a frame rate."""

import numpy as np

from livehead.bench.timing import time_calls, time_frames, time_paced_frames, time_round_robin
from livehead.motion.keypoints import mesh_keypoints

MOTIONS = [mesh_keypoints(np.full((478, 3), i / 10, np.float32), 1.0, i) for i in range(5)]


def test_every_call_has_its_own_time():
    called = []
    times = time_calls(called.append, range(4))
    assert called == [0, 1, 2, 3]
    assert len(times) == 4
    assert min(times) >= 0


def test_motions_are_played_in_turn_after_a_warm_up():
    seen = []
    times = time_frames(lambda motion: seen.append(motion.captured_ns), MOTIONS, rounds=7)
    assert len(times) == 7
    assert seen[-7:] == [0, 1, 2, 3, 4, 0, 1]
    assert len(seen) > 7


def test_ways_take_turns_and_each_draws_all_of_its_frames():
    drawn = []
    plans = {
        "fp32": (lambda motion: drawn.append("fp32"), 40),
        "bf16": (lambda motion: drawn.append(motion.captured_ns), 20),
    }
    times = time_round_robin(plans, MOTIONS, warm_up=1)
    assert {name: len(samples) for name, samples in times.items()} == {"fp32": 40, "bf16": 20}
    assert drawn[:8] == ["fp32"] * 5 + [0, 0, 1]  # each first warms up
    assert drawn[8] == "fp32"
    assert drawn[-2:] == [3, 4]


def test_without_a_later_warm_up_each_is_called_once_a_round():
    called = []
    plans = {name: (lambda _, name=name: called.append(name), 3) for name in ("plain", "quick")}
    times = time_round_robin(plans, [None], warm_up=1, turns=3, later_warm_up=0)
    assert {name: len(samples) for name, samples in times.items()} == {"plain": 3, "quick": 3}
    assert called == ["plain", "plain", "quick", "quick"] + ["plain", "quick"] * 2


def test_frames_are_asked_for_at_their_rate():
    slept, asked = [], []
    samples = time_paced_frames(asked.append, 3, 10.0, slept.append)
    assert asked == [0, 1, 2]
    assert len(samples) == 3
    assert 0.05 < slept[1] <= 0.1
