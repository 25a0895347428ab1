"""Renderers timed: the figures that apply to each, and no others."""

import time

import numpy as np
import pytest

from livehead.bench.model import BenchmarkSubject, StillHeadSpeech, bench_model
from livehead.motion.keypoints import mesh_keypoints
from livehead.stats import StatsCollector

MOTIONS = [mesh_keypoints(np.full((478, 3), i / 10, np.float32), 1.0, i) for i in range(5)]


def exact(motion):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24] = 100 + int(100 * motion.value[0, 0, 0])
    return picture


def rough(motion):
    return exact(motion) + np.uint8(1)


def slow(motion):
    time.sleep(0.002)
    return exact(motion)


def test_a_renderer_of_one_precision_gets_its_frame_and_no_comparison():
    results = bench_model(BenchmarkSubject({"fp32": slow}), MOTIONS, rounds=20)
    assert results["frame"] == results["frames"]["fp32"]
    assert results["frame"]["n"] == 20
    assert results["frame"]["median"] >= 2
    assert 0 < results["output_std"] < 1
    assert set(results) == {"frame", "frames", "uses", "output_std", "peak_mb"}


def test_a_faster_way_is_set_against_the_plain_one():
    stats = StatsCollector()
    stats.record_timing("network", 1.5)
    subject = BenchmarkSubject(
        {"fp32": slow, "bf16": rough},
        used_precision="bf16",
        render_uncached=slow,
        render_batch=lambda motions: [exact(motion) for motion in motions],
        gflops={"cached": 3.0, "uncached": 5.0},
        stats=stats,
    )
    results = bench_model(subject, MOTIONS, rounds=20)
    assert results["frame"] == results["frames"]["bf16"]
    assert results["speedup"]["bf16"] > results["speedup"]["fp32"] > 0.5
    assert results["psnr_to_fp32"]["bf16"] == pytest.approx(48.13, abs=0.01)  # one step of 255 off everywhere
    assert results["batched_fps"] > 0
    assert results["stages"]["network"]["median"] == 1.5
    assert results["gflops_cached"] == 3.0
    assert results["gflops_uncached"] == 5.0


def test_a_background_that_moves_with_the_mouth_is_told():
    person = np.zeros((32, 32), np.float32)
    person[8:24] = 1
    results = bench_model(BenchmarkSubject({"fp32": exact}, speech=StillHeadSpeech(MOTIONS, person)), MOTIONS, rounds=2)
    assert results["background_change"] == {"mean": 0, "largest": 0}
    results = bench_model(
        BenchmarkSubject({"fp32": exact}, speech=StillHeadSpeech(MOTIONS, person * 0)), MOTIONS, rounds=2
    )
    assert results["background_change"]["largest"] == pytest.approx(40 / 255, abs=0.005)
