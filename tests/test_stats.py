import math
import threading

import numpy as np

from livehead.stats import (
    StatsCollector,
    cpu_info,
    machine_info,
    peak_memory_mb,
    process_uptime_s,
    summarize_ms,
    time_yardstick,
)


def test_a_summary_gives_the_percentiles_of_its_samples() -> None:
    samples = list(np.arange(1.0, 101.0))
    assert summarize_ms(samples) == {"median": 50.5, "p95": 95.05, "p99": 99.01, "n": 100}


def test_a_summary_of_nothing_says_so() -> None:
    assert summarize_ms([])["n"] == 0
    assert math.isnan(summarize_ms([])["median"])


def test_counters_add_up_over_threads() -> None:
    stats = StatsCollector()
    threads = [threading.Thread(target=lambda: [stats.count("frames") for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.read_counters() == {"frames": 4000}
    assert stats.count("frames", 2) == 4002


def test_stages_keep_their_newest_timings() -> None:
    stats = StatsCollector(max_timings=3)
    for ms in (1, 2, 3, 4):
        stats.record_timing("draw", ms)
    assert stats.recent_timings("draw", 2) == [3, 4]
    assert stats.summarize_stages()["draw"]["n"] == 3


def test_the_yardstick_and_the_machine_are_described() -> None:
    figures = time_yardstick()
    assert figures.keys() == {"conv_fp32", "conv_bf16"}
    assert all(ms > 0 for ms in figures.values())
    facts = machine_info("bf16")
    assert facts.keys() == {"cpu", "cores", "threads", "gpu", "torch", "precision"}
    assert facts["precision"] == "bf16"
    assert (facts["cpu"], facts["cores"]) == cpu_info()


def test_memory_and_time_of_this_process_are_plausible() -> None:
    assert 20 < peak_memory_mb() < 100_000
    assert 0 < process_uptime_s() < 24 * 3600
