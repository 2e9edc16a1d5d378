"""Checkpoints of a training: written beside and renamed, so that a full disk costs nothing."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any, Final

import torch

from engine.errors import MienError
from engine.files import atomic_write
from engine.program import tool

LAST: Final = "last.pt"
BEST: Final = "best.pt"
"""the one with the lowest loss on people held out"""

_RENAMED: Final = {
    r"\blisten(\d+)$": r"norm1_\1",
    r"\bleave(\d+)$": r"out_proj_\1",
    r"\bthink(\d+)$": r"norm2_\1",
    r"\bwiden(\d+)": r"fc1_\1",
    r"\bnarrow(\d+)": r"fc2_\1",
    r"\b(query|key|value)(\d+)$": r"\1_\2",
    r"\bspread$": "std",
    r"\bear\.": "backbone.",
    r"\btold\.": "condition.",
    r"\bencoder\.widen\.": "encoder.fc1.",
    r"\bencoder\.narrow\.": "encoder.fc2.",
}
"""tensors that were called otherwise in older checkpoints"""


def save(folder: Path, state: dict[str, Any], name: str = LAST) -> Path:
    """Write a checkpoint whole or not at all. Raises MienError; the older one stays."""
    packed = io.BytesIO()
    torch.save(state, packed)
    path = folder / name
    older = path.exists()
    try:
        with atomic_write(path) as part:
            part.write_bytes(packed.getbuffer())
    except MienError as error:
        kept = f"; the checkpoint before it is kept, resume from {folder}" if older else ""
        raise MienError(f"step {state['step']}: {error}{kept}") from None
    return path


def load(run: Path) -> dict[str, Any]:
    """The last checkpoint of a run's folder, or the one in a file. Raises MienError where there is
    none, or it is damaged."""
    path = run if run.is_file() else run / LAST
    if not path.is_file():
        raise MienError(f"no checkpoint in {run}; train first: {tool('training.train')} --help")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not {"step", "name", "modules", "ema"} <= state.keys():
            raise ValueError("it holds something else")
        if "stages" not in state:
            raise ValueError("of an older version, which didn't keep what it learned from")
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        line = " ".join(str(error).split())[:120]
        raise MienError(f"the checkpoint {path} is damaged ({line}); train again") from None
    for part in ("modules", "ema"):
        state[part] = {name: _renamed(module) for name, module in state[part].items()}
    return state


def _renamed(module: Any) -> Any:
    """A module's tensors by the names they have now."""
    if not isinstance(module, dict):
        return module
    found = {}
    for name, value in module.items():
        for old, new in _RENAMED.items():
            name = re.sub(old, new, name)
        found[name] = value
    return found
