"""How many floating-point operations a network's frame takes."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def gflops(run: Callable[[], object]) -> float:
    """Of the convolutions and products of matrices in ``run``, in 10^9: a multiplication with its addition is two."""
    with FlopCounterMode(display=False) as counter:
        run()
    return round(float(counter.get_total_flops()) / 1e9, 3)
