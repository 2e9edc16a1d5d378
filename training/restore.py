"""A trained module from its run: made with the size it was trained in, with averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import nn

from engine.errors import MienError
from training import checkpoint, recipes
from training.recipe import Recipe

M = TypeVar("M", bound=nn.Module)


def restore(run: Path, name: str, kind: type[M]) -> M:
    """The averaged module ``name`` of a run, to be used and not trained. Raises MienError."""
    module = restored(recipes.recipe(name), run)[1]
    assert isinstance(module, kind)
    return module


def restored(kind: type[Recipe], run: Path) -> tuple[Recipe, nn.Module]:
    """The same by its recipe, which is that of the run as far as the module goes."""
    state = checkpoint.load(run)
    if kind.name not in state["ema"]:
        raise MienError(f"{run} is a run of {state['name']}, it has no {kind.name}; give another")
    recipe = kind.sized(state["size"])
    module = recipe.build()
    try:
        module.load_state_dict(state["ema"][kind.name])
    except RuntimeError:
        raise MienError(
            f"{run} holds another kind of {kind.name} than this version's; train it anew"
        ) from None
    return recipe, module.eval().requires_grad_(False)
