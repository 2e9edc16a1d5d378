"""A device that isn't the CPU where there is none: what lies there and what doesn't can't be mixed.

It calls itself torch's "meta", but holds numbers, which the CPU computes. As on a graphics card a
tensor comes there by `to` and goes by `cpu`, and one number or an index may lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import lightning_fabric
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from training import parallel
from training.loop import Trainer
from training.running import Run

ELSEWHERE: Final = torch.device("meta")
MAY_MIX: Final = {"index", "index_put", "index_put_", "_index_put_impl_", "copy_", "_to_copy"}


class There(Tensor):
    """A tensor that lies elsewhere; ``held`` is what it is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        made: There = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=ELSEWHERE,
        )  # fmt: skip
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types it as a method of an object
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Everywhere(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes new tensors there, and sees what would mix."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [isinstance(tensor, There) for tensor in tensors]
    name = func.overloadpacket.__name__
    for tensor, is_there in zip(tensors, there, strict=True):
        mixes = any(there) and tensor.dim() > 0 and name not in MAY_MIX
        if not is_there and (mixes or tensor.is_meta):
            raise RuntimeError(f"{name}: {tuple(tensor.shape)} isn't where the others are")
    goes_there = there[0] if name in MAY_MIX else any(there)
    if (device := kwargs.get("device")) is not None:
        goes_there = torch.device(device) == ELSEWHERE
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = tree_map_only(There, lambda tensor: tensor.held, (args, kwargs))
    made = func(*args, **kwargs)
    if name.endswith("_") and made is not None:
        return tensors[0]
    return tree_map_only(Tensor, There, made) if goes_there else made


@contextmanager
def trained_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `training.train` trains meanwhile lies elsewhere."""
    begin, init, go = parallel.begin, Run.__init__, Run.go

    def begun(device: str, bf16: bool) -> lightning_fabric.Fabric:
        fabric = begin("cpu", bf16)

        class Fabric(lightning_fabric.Fabric):
            device = ELSEWHERE

            def setup_module(self, module: nn.Module, *args: Any, **options: Any) -> Any:
                return super().setup_module(module, move_to_device=False)

        fabric.__class__ = Fabric
        return fabric

    def made(run: Run, trainer: Trainer, *args: Any) -> None:
        held_out = trainer.held_out

        def held_out_here() -> Trainer | None:
            with _disable_current_modes():
                return held_out()

        trainer.held_out = held_out_here  # type: ignore[method-assign]
        with _Everywhere():  # type: ignore[no-untyped-call]
            init(run, trainer, *args)

    def gone(run: Run, *args: Any) -> Any:
        with _Everywhere():  # type: ignore[no-untyped-call]
            return go(run, *args)

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "begin", begun)
        patch.setattr(Run, "__init__", made)
        patch.setattr(Run, "go", gone)
        yield
