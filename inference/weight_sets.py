"""Sets of weights: the default one, others by name, and what each permits by its cards.

A set is a folder of ``weights/`` that holds weights of its own. What it lacks is the default's
where that one's card forbids nothing; what is left is done without.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from inference.card import CARD
from inference.terms import Nc, nc_of

SHIPPED: Final = Path(__file__).parents[1] / "weights"
VARIABLE: Final = "MIEN_WEIGHTS"
DEFAULT: Final = "default"
FITTED: Final = ("people", "rig")
"""what is no network: the default's serves every folder of networks that has none"""


def sets() -> list[str]:
    """The names of the sets that ship, the default one first."""
    return [DEFAULT, *sorted({path.parents[1].name for path in SHIPPED.glob(f"*/*/{CARD}")})]


def folder_of(weights: str = "") -> Path:
    """The folder of a set's name, or of a folder's path; "" is what $MIEN_WEIGHTS says, else the
    default set. Raises MienError where there is none."""
    asked = weights or os.environ.get(VARIABLE, "") or DEFAULT
    if asked in sets():
        return SHIPPED if asked == DEFAULT else SHIPPED / asked
    if not Path(asked).is_dir():
        raise MienError(
            f"no weight in {asked}: there is no such folder, and no such set of weights; "
            f"the sets are {', '.join(sets())}"
        )
    return Path(asked)


def name_of(folder: Path) -> str:
    """What to call it: a set's name, or the path."""
    if folder.resolve() == SHIPPED.resolve():
        return DEFAULT
    return folder.name if is_set(folder) else str(folder)


def is_set(folder: Path) -> bool:
    """Whether it is a set beside the default one."""
    return folder.resolve().parent == SHIPPED.resolve() and folder.name in sets()


def weight_folder(name: str, weights: str = "") -> Path:
    """The folder of a weight: in ``weights``, else in $MIEN_WEIGHTS, else in the default set; there
    or not. Raises MienError where there is nothing of that name at all."""
    folder = folder_of(weights)
    if not (folder / name).is_dir():
        borrowed = not forbids(SHIPPED / name) if is_set(folder) else name in FITTED
        if borrowed:
            return SHIPPED / name
    return folder / name


def left_out(name: str, weights: str = "") -> str:
    """The set in use, where it does without this weight on purpose, or ""."""
    folder = folder_of(weights)
    there = not is_set(folder) or weight_folder(name, weights).is_dir()
    return "" if there else folder.name


def weights_in_use(weights: str = "") -> dict[str, Path]:
    """The folder of each weight that is there, by name. Raises MienError."""
    cards = [*SHIPPED.glob(f"*/{CARD}"), *folder_of(weights).glob(f"*/{CARD}")]
    folders = {name: weight_folder(name, weights) for name in {path.parent.name for path in cards}}
    return {name: folders[name] for name in sorted(folders) if (folders[name] / CARD).is_file()}


def nc_of_weight(folder: Path) -> Nc:
    """Whether data behind it forbids commercial use, by its card; unknown where that one doesn't
    say, or calls rights unverified."""
    card = _card(folder)
    return nc_of(card.get("nc"), str(card))


def forbids(folder: Path) -> bool:
    """Whether data behind it forbids commercial use by its card."""
    return nc_of_weight(folder) == "yes"


def terms(weights: str = "") -> str:
    """In one line: which weights are in use, and what they permit by their cards. Raises
    MienError."""
    called, used = name_of(folder_of(weights)), weights_in_use(weights)
    if research := [name for name, path in used.items() if forbids(path)]:
        free = [name for name in sets() if not any(map(forbids, weights_in_use(name).values()))]
        other = f"; --weights {free[0]} does without" if free else ""
        why = f"{_and(research)} learned from data under research terms"
        return f"{called}: not for commercial use, {why}{other}"
    lacks = [name for name in weights_in_use(DEFAULT) if name not in used]
    without = f", no {_and(lacks)}" if lacks else ""
    told = "no licence on its cards forbids commercial use"
    if unknown := [name for name, path in used.items() if nc_of_weight(path) == "unknown"]:
        told = (
            f"whether {_and(unknown)} may be used commercially is unknown, as rights in what "
            f"{'it' if len(unknown) == 1 else 'they'} learned from are unverified"
        )
    return f"{called}: no data under research terms{without}; {told}"


def _card(folder: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
