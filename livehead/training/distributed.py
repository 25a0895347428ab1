"""Where a process trains: alone, or as one of several under ``torchrun``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class ProcessGroupInfo:
    """``device`` and number of this process, and how many there are."""

    device: torch.device
    rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def any_process(self, flag_here: bool) -> bool:
        """Whether any process was ``told``; all of them must ask, and all get the same answer."""
        if self.world_size == 1:
            return flag_here
        flag = torch.tensor([float(flag_here)], device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item() > 0)


@contextmanager
def open_process_group() -> Iterator[ProcessGroupInfo]:
    """This process' device and rank, under ``torchrun`` or alone."""
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


def wrap_ddp(network: nn.Module, process: ProcessGroupInfo, *, sync_batch_norm: bool = False) -> nn.Module:
    """``network`` so that every process' backward pass leaves the mean gradient of all of them.

    ``norms``: batch norms look at all processes' batches, as the published networks were trained; on GPUs only, since
    PyTorch has no such layer for processors.
    """
    if process.world_size == 1:
        return network
    if sync_batch_norm and process.device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    with warnings.catch_warnings():
        # newer versions rename the argument, and older ones know only this name
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False)


def average_gradients(network: nn.Module) -> None:
    """The mean of all processes' gradients, for a network that ``share`` does not wrap."""
    if dist.is_available() and dist.is_initialized():
        for parameter in network.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def average_batch_norm_statistics(network: nn.Module, process: ProcessGroupInfo) -> None:
    """The mean of all processes' running statistics of batch norms, so that all keep one and the same network."""
    if process.world_size == 1:
        return
    kept = [value for name, value in network.named_buffers() if name.rpartition(".")[2].startswith("running_")]
    if kept:
        joined = torch.cat([value.flatten() for value in kept])
        dist.all_reduce(joined)
        parts = (joined / process.world_size).split([value.numel() for value in kept])
        for value, part in zip(kept, parts, strict=True):
            value.copy_(part.view_as(value))
