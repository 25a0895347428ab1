"""Training in one process, or in several under ``torchrun``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class ProcessGroupInfo:
    """The ``device`` and ``rank`` of this process, and the number of processes."""

    device: torch.device
    rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        """Tells whether this process writes files."""
        return self.rank == 0

    def any_process(self, flag_here: bool) -> bool:
        """Tell whether ``flag_here`` is set in any process; all of them must call this, and all get the same answer."""
        if self.world_size == 1:
            return flag_here
        flag = torch.tensor([float(flag_here)], device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item() > 0)


@contextmanager
def open_process_group() -> Iterator[ProcessGroupInfo]:
    """Join the processes that ``torchrun`` started, or be the only one; the group is left at the end."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroupInfo(device, rank, world)
    finally:
        if world > 1:
            dist.destroy_process_group()


def place_network(network: ModuleT, device: torch.device) -> ModuleT:
    """Move ``network`` to ``device``, its convolutions channels last, which is the quickest order."""
    target: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}  # a keyword that stubs lack
    return network.to(**target)


def wrap_ddp(network: nn.Module, process: ProcessGroupInfo, *, sync_batch_norm: bool = False) -> nn.Module:
    """Wrap ``network`` so that the backward pass leaves the mean gradient of all processes in each of them.

    With ``sync_batch_norm`` the batch norms see the batches of all processes, as the published networks were trained;
    on GPUs only, since PyTorch has no such layer for processors.
    """
    if process.world_size == 1:
        return network
    if sync_batch_norm and process.device.type == "cuda":
        convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        network = convert(network)
    with warnings.catch_warnings():
        # newer versions rename the argument, and older ones know only this name
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False)


def average_gradients(network: nn.Module) -> None:
    """Replace the gradients by the mean of all processes' gradients, for a network that ``wrap_ddp`` did not wrap."""
    if dist.is_available() and dist.is_initialized():
        for parameter in network.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()


def average_batch_norm_statistics(network: nn.Module, process: ProcessGroupInfo) -> None:
    """Replace the running statistics of batch norms by their mean over all processes, which so keep one network."""
    if process.world_size == 1:
        return
    statistics = [value for name, value in network.named_buffers() if name.rpartition(".")[2].startswith("running_")]
    if statistics:
        joined = torch.cat([value.flatten() for value in statistics])
        dist.all_reduce(joined)
        parts = torch.split(joined / process.world_size, [value.numel() for value in statistics])
        for value, part in zip(statistics, parts, strict=True):
            value.copy_(part.view_as(value))
