"""One file per network; whoever needs all of them looks into this folder.

A network of another package has a name there too (entry points of the group `mien.recipes`), or is
written as "module:Class".
"""

from __future__ import annotations

import importlib
import sys
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UsageError, suggestion, words
from engine.program import tool

if TYPE_CHECKING:
    from training.recipe import Interface, Recipe

GROUP: Final = "mien.recipes"
_HERE: Final = Path(__file__).parent
ASIDE: Final = (
    "content", "emotion_priors", "emotion_space", "inversion", "lip_sync",
    "reference_picture", "reference_rig", "rig_content", "voice_flow",
)  # fmt: skip
"""trained to judge and to compare: no node runs them, and no weight of them ships"""


def names() -> list[str]:
    """The networks of this folder. Nothing is imported."""
    return sorted(path.stem for path in _HERE.glob("[!_]*.py"))


def shipped() -> list[str]:
    """Those whose weights ship. Nothing is imported."""
    return [name for name in names() if name not in ASIDE]


def known() -> list[str]:
    """Those, and what packages bring."""
    return [*names(), *sorted(set(entry_points(group=GROUP).names) - set(names()))]


def find(name: str) -> type[Interface]:
    """The class of a network. Raises UsageError where there is none."""
    if name in names():
        return _only(f"{__name__}.{name}")
    for entry in entry_points(group=GROUP).select(name=name):
        name = entry.value
    if ":" not in name:
        raise UsageError(f"there is no network '{name}'{suggestion(name, known())}")
    module, _, wanted = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    return _only(module, wanted)


def recipe(name: str) -> type[Recipe]:
    """The recipe of a network that is trained here. Raises UsageError where it isn't."""
    from training.recipe import Recipe

    found = find(name)
    if not issubclass(found, Recipe):
        raise UsageError(
            f"{found.name} isn't trained here: {tool(f'export.{found.name}')} takes it"
        )
    return found


def trained() -> list[type[Recipe]]:
    """The recipes of this folder, each after those that it leans on."""
    from training.recipe import Recipe

    found = {name: find(name) for name in names()}
    recipes = {name: kind for name, kind in found.items() if issubclass(kind, Recipe)}
    order = TopologicalSorter({name: kind.leans_on for name, kind in recipes.items()})
    return [recipes[name] for name in order.static_order()]


def _only(module: str, wanted: str = "") -> type[Interface]:
    """The class of that name, or the one that a module defines."""
    from training.recipe import Interface

    try:
        values = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module '{module}' with a recipe") from None
    except (Exception, SystemExit) as error:  # the file is somebody's code: anything goes
        if not wanted:
            raise
        raise UsageError(f"{module} can't be loaded: {words(error)}") from None
    found = {
        name: value
        for name, value in values.items()
        if isinstance(value, type) and issubclass(value, Interface) and value.__module__ == module
    }
    if wanted not in found and (wanted or len(found) != 1):
        raise UsageError(f"no recipe '{wanted}' in {module}{suggestion(wanted, found)}")
    return found[wanted] if wanted else next(iter(found.values()))
