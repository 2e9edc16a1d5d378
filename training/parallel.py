"""Several processes, one training: who am I, and sums over all. Started by torchrun.

Every process draws its own samples; gradients are averaged in one flat message, which for networks
of a few million parameters is as quick as hooks in the backward pass, and leaves it to a trainer
how many networks and optimizers it has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, distributed


class Place(NamedTuple):
    """This process among ``world``, and its device."""

    rank: int
    world: int
    device: torch.device


def begin(device: str) -> Place:
    """``device`` auto: a GPU where there is one."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0))}"
        torch.cuda.set_device(device)
    if world > 1:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Place(rank, world, torch.device(device))


def end() -> None:
    """Leave the group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def average(tensors: Iterable[Tensor | None]) -> None:
    """Replace tensors by their means over all processes."""
    present = [tensor for tensor in tensors if tensor is not None]
    if not distributed.is_initialized() or not present:
        return
    flat = torch.cat([tensor.detach().flatten() for tensor in present])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    means = torch.split(flat, [tensor.numel() for tensor in present])
    for tensor, mean in zip(present, means, strict=True):
        tensor.copy_(mean.view_as(tensor))


def agree(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by those of the first process."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)
