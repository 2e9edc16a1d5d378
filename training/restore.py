"""A trained module from its run: made with the size it was trained in, with averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from engine.errors import MienError
from training import checkpoint
from training.models.intensity import IntensityFusion
from training.models.skin import SkinNet
from training.models.speech import SpeechEncoder, SpeechSize
from training.models.visual import VisualEncoder, VisualSize

M = TypeVar("M", bound=nn.Module)


def make(name: str, size: dict[str, Any]) -> nn.Module:
    """A fresh module of a size as it stands in a checkpoint."""
    if name == "visual":
        return VisualEncoder(VisualSize(**size))
    if name == "speech":
        return SpeechEncoder(SpeechSize(**size))
    if name == "skin":
        return SkinNet(tuple(size["channels"]))
    return IntensityFusion(**size)


def restore(run: Path, name: str, kind: type[M]) -> M:
    """The averaged module ``name`` of a run, to be used and not trained. Raises MienError."""
    state = checkpoint.load(run)
    if name not in state["ema"]:
        raise MienError(f"{run} is a run of {state['name']}, it has no {name}; give another")
    module = make(name, state["size"])
    assert isinstance(module, kind)
    try:
        module.load_state_dict(state["ema"][name])
    except RuntimeError:
        raise MienError(
            f"{run} holds another kind of {name} than this version's; train it anew"
        ) from None
    return module.eval().requires_grad_(False)
