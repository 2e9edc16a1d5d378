"""Several processes, one training, in one precision (Lightning Fabric). Started by torchrun.

Every process draws its own samples; what is averaged over all of them is the gradient.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn

from engine.errors import MienError
from training.losses.faces import total


def begin(device: str, bf16: bool) -> Fabric:
    """This process among all, on its device; ``device`` auto: a GPU where there is one. Raises
    MienError."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise MienError("no NVIDIA GPU can be used here; leave out --device cuda")
    if 0 < gpus < here:
        raise MienError(f"{here} processes for {gpus} GPUs; give --nproc-per-node {gpus}")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Of which parameters a turn makes use is up to the trainer; buffers are its modules' own.
    several = DDPStrategy(find_unused_parameters=True, forward_sync_buffers=False)
    fabric = Fabric(
        accelerator="cuda" if gpus else "cpu",
        devices=here,
        num_nodes=world // here,
        strategy=several if world > 1 else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
        plugins=[TorchElasticEnvironment() if world > 1 else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def end() -> None:
    """Leave the group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


class Sum(nn.Module):
    """The last layer of all ``modules``: adds losses up. It holds the modules, so that gradients of
    what comes out are averaged, however many networks a trainer has and however it calls them."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.of = nn.ModuleDict(modules)
        # DDP looks for parameters that a turn doesn't use, and warns where it finds none.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        return total(parts, weights)


def average(fabric: Fabric, tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their means over all processes."""
    for tensor in tensors:
        tensor.copy_(fabric.strategy.all_reduce(tensor, reduce_op="mean"))
