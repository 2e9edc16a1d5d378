"""What is exported: of each network its module, tensors by name, ranges, and how calls look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from engine.types import F32
from export.names import NAMES
from face.render.detail import COLUMNS, ROWS
from inference.card import Tensor as Spec
from inference.model import Model
from training import checkpoint
from training.models.ear import EAR_ORIGIN, EAR_WIDTH, STEP_SAMPLES
from training.models.intensity import READING, IntensityFusion
from training.models.skin import PLACES, SkinNet
from training.models.speech import LOOK_AHEAD_MS, SAID, SpeechEncoder
from training.models.trunk import PARTS, TRUNK_ORIGIN
from training.models.visual import VisualEncoder
from training.models.xception import XCEPTION_ORIGIN
from training.provenance import commands, described, recipe_line
from training.restore import restore

_ANY: Final = 3.0e38

Call = dict[str, F32]


@dataclass(frozen=True)
class Network:
    """A module whose ``forward`` takes ``inputs`` in order and returns ``outputs`` in order."""

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
    """Named answers as a plain tuple, which is what export takes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.inner(*given))


def load(name: str, run: Path) -> Network:
    """A network from its run. Raises MienError."""
    if name not in NAMES:
        raise MienError(f"there is no network {name}; it is one of {', '.join(NAMES)}")
    make = {
        "visual": _visual,
        "speech": _speech,
        "intensity": _intensity,
        "skin": _skin,
    }[name]
    task, module, inputs, outputs, state = make(run)
    listed = _Listed(module).eval()
    stored = checkpoint.load(run)
    stages = stored["stages"]
    stored |= {
        "training": commands(stages), "recipe": recipe_line(stages), "data": described(stages)
    }  # fmt: skip
    origins = tuple(_origins(name, stored["size"]))
    gflop = _gflop(listed, inputs)
    return Network(name, task, listed, inputs, outputs, state, stored, gflop, origins)


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


def exported(folder: Path) -> Network:
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
        card.name, card.task, _Ran(model), card.inputs, card.outputs, state, run, gflop, origins
    )


def _origins(name: str, size: dict[str, Any]) -> Iterator[str]:
    """Whose weights a network carries beside its own; those of `debug` sizes are made up."""
    if name == "speech" and size["width"] == EAR_WIDTH:
        yield EAR_ORIGIN
    if name == "visual" and size["parts"] == PARTS:
        yield TRUNK_ORIGIN
        yield XCEPTION_ORIGIN


def chained(network: Network, calls: Iterator[Call]) -> Iterator[Call]:
    """Calls in a row, each with the state that the call before it left; a call that names its state
    begins anew."""
    state = {name: network.zeros()[name] for name in network.state}
    for call in calls:
        if "begin" in call:
            state = {name: network.zeros()[name] for name in network.state}
        whole = {name: value for name, value in call.items() if name != "begin"} | state
        yield whole
        if network.state:
            answer = network(whole)
            state = {taken: answer[given] for taken, given in network.state.items()}


_Made = tuple[str, nn.Module, tuple[Spec, ...], tuple[Spec, ...], dict[str, str]]
_STATE: Final = {"state": "state_next"}


def _visual(run: Path) -> _Made:
    module = restore(run, "visual", VisualEncoder)
    size = module.size
    inputs = (
        _spec("crop", (1, 3, size.crop_px, size.crop_px), 0, 1, "aligned face, RGB / 255"),
        _spec("rig", (1, 52), 0, 1, "blendshapes; zeros where unknown"),
        _spec("state", (1, size.features), -1, 1, "zeros at first"),
    )
    task = "what a face feels, frame by frame, never looking ahead"
    return task, module, inputs, _affect_outputs(size.features, size.features), dict(_STATE)


def _speech(run: Path) -> _Made:
    module = restore(run, "speech", SpeechEncoder)
    size = module.begin(1).shape[1]
    inputs = (
        _spec("sound", (1, STEP_SAMPLES), -1, 1, "40 ms at 16 kHz"),
        _spec("state", (1, size), -_ANY, _ANY, "zeros at first"),
    )
    task = (
        "what a voice feels, every 40 ms; the answer belongs to the step before "
        f"(look-ahead {LOOK_AHEAD_MS} ms)"
    )
    outputs = (
        *_affect_outputs(SAID, size),
        _spec("boredom", (1, 1), -_ANY, _ANY, "logit: of the neutral voice, how sure it is bored"),
        _spec("calm", (1, 1), -_ANY, _ANY, "logit: of the rest of it, how sure it is calm"),
    )
    return task, module, inputs, outputs, dict(_STATE)


def _intensity(run: Path) -> _Made:
    module = restore(run, "intensity", IntensityFusion)
    said = "emotion probabilities 8, valence, arousal, intensity"
    inputs = (
        _spec("face", (1, READING), -1, 1, f"what the face says: {said}"),
        _spec("voice", (1, READING), -1, 1, f"what the voice says: {said}"),
        _spec("present", (1, 2), 0, 1, "1 where there is a face, a voice"),
        _spec("state", (1, module.features), -1, 1, "zeros at first"),
    )
    task = "emotion, valence-arousal and intensity of a frame from face and voice together"
    outputs = _affect_outputs(0, module.features)[1:]
    return task, module, inputs, outputs, dict(_STATE)


def _skin(run: Path) -> _Made:
    module = restore(run, "skin", SkinNet)
    whole = (ROWS, COLUMNS)
    inputs = (
        _spec("detail", (1, 1, *whole), -4, 4, "logarithm of brightness to that around, by skin"),
        _spec("displacement", (1, 3, *whole), -10, 10, "where the skin goes, x, y, z, cm"),
        _spec("places", (1, PLACES, *whole), -1, 1, "x, y, and where there is skin"),
        _spec("rig", (1, 52), 0, 1, "blendshapes of the face that is seen"),
        _spec("emotion", (1, 8), 0, 1, "1 for the one that it becomes, by engine.types.EMOTIONS"),
    )
    outputs = (_spec("change", (1, 1, *whole), -4, 4, "of the logarithm of brightness"),)
    task = "light and shade of a face's skin as its expression changes"
    return task, _Wrapped(module), inputs, outputs, {}


class _Wrapped(nn.Module):
    """One answer as a tuple of one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Tensor) -> tuple[Tensor]:
        return (self.inner(*given),)


def _affect_outputs(features: int, state: int) -> tuple[Spec, ...]:
    return (
        _spec("embedding", (1, max(features, 1)), -1, 1, "of unit length"),
        _spec("emotion", (1, 8), -_ANY, _ANY, "logits, in the order of engine.types.EMOTIONS"),
        _spec("valence_arousal", (1, 2), -1, 1, "valence, arousal"),
        _spec("intensity", (1, 1), 0, 1, "r of EAP's eq. 6"),
        _spec("state_next", (1, state), -_ANY, _ANY, "the state of the next step"),
    )


def _spec(name: str, shape: tuple[int, ...], low: float, high: float, meaning: str) -> Spec:
    return Spec(name, shape, "float32", low, high, meaning)
