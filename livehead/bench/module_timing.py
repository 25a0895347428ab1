"""Where the time of a frame goes, and how much arithmetic it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from livehead.stats import StatsCollector


def time_modules(modules: Mapping[str, nn.Module], stats: StatsCollector) -> None:
    """Record every later call of each of ``modules`` under its name, in ms; on a GPU after it has finished."""
    for name, part in modules.items():
        started: list[int] = []

        def before(*_: Any, started: list[int] = started) -> None:
            _synchronize_gpu()
            started.append(time.perf_counter_ns())

        def after(*_: Any, started: list[int] = started, name: str = name) -> None:
            _synchronize_gpu()
            stats.record_timing(name, (time.perf_counter_ns() - started.pop()) / 1e6)

        part.register_forward_pre_hook(before)
        part.register_forward_hook(after)


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of an attention of [B, heads, N, E], [B, heads, M, E] and [B, heads, M, V]; PyTorch counts none."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


def _synchronize_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def count_gflops(call: Callable[[], object]) -> float:
    """Billions of operations in the convolutions and matrix products of ``call``; a multiply-add counts as two."""
    counts = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=counts) as counter:
        call()
    return round(float(counter.get_total_flops()) / 1e9, 2)
