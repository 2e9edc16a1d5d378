"""What is exported: a network of a run, or of a weight, with its tensors by name and range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from inference.card import Tensor as Spec
from inference.model import Model
from training import checkpoint
from training.examples import Call
from training.provenance import commands, described, recipe_line
from training.recipe import Recipe
from training.restore import restored


@dataclass(frozen=True)
class Network:
    """A module whose ``forward`` takes ``inputs`` in order and returns ``outputs`` in order."""

    recipe: Recipe
    name: str
    task: str
    module: nn.Module
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    state: dict[str, str]
    run: dict[str, Any]
    """seed, step, size; the commands and the recipe of its training, and the data behind it"""
    gflop: float
    """floating point operations of one call, in thousands of millions"""
    origins: tuple[str, ...] = ()
    """weights of others that are part of it, with their licence"""

    def __call__(self, call: Call) -> Call:
        """The answer of torch itself, the measure of all the others."""
        given = [torch.from_numpy(call[spec.name]) for spec in self.inputs]
        with torch.no_grad():
            answer = self.module(*given)
        return {
            spec.name: tensor.numpy().copy()
            for spec, tensor in zip(self.outputs, answer, strict=True)
        }

    def zeros(self) -> Call:
        """A call of zeros."""
        return {spec.name: np.zeros(spec.shape, np.float32) for spec in self.inputs}


class _Listed(nn.Module):
    """Named answers, or a single one, as a plain tuple, which is what export takes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        answer = self.inner(*given)
        return (answer,) if isinstance(answer, Tensor) else tuple(answer)


def load(kind: type[Recipe], run: Path) -> Network:
    """A network from its run. Raises MienError."""
    recipe, module = restored(kind, run)
    inputs, outputs = recipe.ports(module)
    listed = _Listed(module).eval()
    stored = checkpoint.load(run)
    stages = stored["stages"]
    stored |= {
        "training": commands(stages), "recipe": recipe_line(stages), "data": described(stages)
    }  # fmt: skip
    return Network(
        recipe, recipe.name, recipe.task, listed, inputs, outputs, dict(recipe.state), stored,
        _gflop(listed, inputs), recipe.origins(),
    )  # fmt: skip


def _gflop(module: nn.Module, inputs: tuple[Spec, ...]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*(torch.zeros(spec.shape) for spec in inputs))
    return round(float(counter.get_total_flops()) / 1e9, 4)


class _Ran(nn.Module):
    """A weight's float32 file in the place of the module that it was made of."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        card = self._model.card
        names = [spec.name for spec in card.inputs]
        said = self._model(**{n: t.numpy() for n, t in zip(names, given, strict=True)})
        return tuple(torch.from_numpy(said[spec.name]) for spec in card.outputs)


def exported(kind: type[Recipe], folder: Path) -> Network:
    """A network as its weight has it, float32, by ONNX Runtime; of its training what its card says.
    Raises MienError."""
    model = Model(folder, backend="onnxruntime", log=lambda line: None)
    card, text = model.card, model.card.text
    try:
        run = {"seed": text["seed"], "step": text["steps"], "training": text["training"]}
        run |= {"size": text["size"], "data": dict(text["data"])}
        run |= {"recipe": text["recipe"]} if "recipe" in text else {}
        gflop = float(text["gflop"])
    except KeyError as error:
        raise MienError(f"{folder} has no {error} on its card; export it from its run") from None
    origins = tuple(run["data"].pop("weights_of_others", ()))
    state = dict(card.state)
    return Network(
        kind.sized(text["size"]), card.name, card.task, _Ran(model), card.inputs, card.outputs,
        state, run, gflop, origins,
    )  # fmt: skip
