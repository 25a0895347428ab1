"""Figures of poses: shapes and sense, not speed."""

import os

import torch

from livehead.bench.pose_timing import INPUT_SIZE, bench_decoder, bench_network, pin_to_one_core, synthesize_people
from livehead.models.engine import ExecutionConfig
from livehead.models.openpose.build import DenseSizes, build_dense_network
from livehead.models.openpose.skeletons import BODY_25

SETTINGS = {
    name: (ExecutionConfig(torch.device("cpu"), dtype, name), None)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
}


def test_the_network_is_timed_beside_its_plain_self_and_its_error_told():
    torch.manual_seed(0)
    tiny = DenseSizes(vgg=(4, None, 4, None, 4, None, 4), neck=4, features=4, first=(4, 4), later=(4, 4))
    network = build_dense_network(BODY_25, tiny).eval()
    results = bench_network(network, SETTINGS, torch.rand(1, 3, 64, 64) - 0.5, 2)
    assert results["frames"]["bf16"]["n"] == results["frame_fp32_uncached"]["n"] == 2
    assert results["speedup"].keys() == {"fp32", "bf16"}
    assert results["map_error"]["fp32"]["largest"] < 1e-5 < results["map_error"]["bf16"]["largest"] < 0.1
    assert results["gflops"] > 0


def test_the_decoder_is_timed_by_people():
    decoder, by_people = bench_decoder(1, people_counts=(5, 20))
    assert by_people.keys() == {"5", "20"}
    assert decoder["people"] == 5
    assert decoder["plain"]["n"] == by_people["20"]["n"] == 1
    assert decoder["ratio_20_to_5"] > 0


def test_drawn_people_lie_in_the_picture_and_apart():
    people = synthesize_people(20)
    assert people[..., :2].min() > 0
    assert (people[..., :2] < INPUT_SIZE).all()


def test_one_core_is_given_back():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with pin_to_one_core():
        if before:
            assert len(os.sched_getaffinity(0)) == 1
    assert not before or os.sched_getaffinity(0) == before
