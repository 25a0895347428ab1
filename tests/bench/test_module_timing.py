import torch
from torch import nn

from livehead.bench.module_timing import count_gflops, time_modules
from livehead.stats import StatsCollector


def test_every_call_of_a_part_is_timed_under_its_name():
    stats, part = StatsCollector(), nn.Linear(4, 4)
    time_modules({"part": part, "other": nn.ReLU()}, stats)
    for _ in range(3):
        part(torch.rand(1, 4))
    assert stats.summarize_stages()["part"]["n"] == 3
    assert "other" not in stats.summarize_stages()


def test_a_multiplication_and_an_addition_are_two_operations():
    a, b = torch.rand(1000, 1000), torch.rand(1000, 1000)
    assert count_gflops(lambda: a @ b) == 2


def test_attention_counts_both_of_its_products():
    q = torch.rand(1, 1, 500, 32)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert count_gflops(lambda: [attend(q, q, q) for _ in range(100)]) == 100 * 2 * 500 * 500 * 64 / 1e9
