"""The thread budget of this process, in one place for all libraries that bring a pool of their own.

A network's arithmetic is done by torch or by OpenVINO. The parts that OpenVINO compiled have threads of their own, and
torch is left with one then, or two pools fight over the cores. OpenCV and BLAS do small work beside a network: in a
live call they get one thread each, because their threads wait busily and take more from the other stages than they save
in their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from livehead.stats import cpu_info


def available_cores() -> int:
    """Return how many cores this process may use; a network that has nothing beside it gets as many threads."""
    return cpu_info()[1]


def live_network_threads() -> int:
    """Return how many threads a network gets in a live call.

    One core is left to the tracker or the encoder: a network that waits for it at every layer is slower than alone.
    """
    return max(available_cores() - 1, 1)


def set_network_threads(count: int | None = None, *, by_openvino: bool = False) -> None:
    """Give torch ``count`` threads, all cores if None.

    Where the costly parts run ``by_openvino``, which has threads of its own, torch gets one.
    """
    import torch

    torch.set_num_threads(1 if by_openvino else count or available_cores())


def network_threads() -> int:
    """Return how many threads torch has."""
    import torch

    return int(torch.get_num_threads())


@contextmanager
def keep_network_threads(count: int | None = None) -> Iterator[None]:
    """Give torch ``count`` threads within the block, if not None, and afterwards what it had before."""
    before = network_threads()
    if count is not None:
        set_network_threads(count)
    try:
        yield
    finally:
        set_network_threads(before)


def limit_helper_threads() -> None:
    """Give OpenCV and BLAS one thread each, for the rest of the process."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
