"""How a node gets a network: loaded and warm, or one line that says why not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.node import Context
from inference.weight_sets import weight_folder

if TYPE_CHECKING:
    from inference.model import Backend, Model


def load_arrays(
    path: Path, names: Sequence[str], former: Mapping[str, str] | None = None
) -> list[NDArray[Any]]:
    """The arrays of these names in a .npz file of the weights; ``former``: how earlier files call
    some of them. Raises MienError."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
            older = former or {}
            return [data[name if name in data else older.get(name, name)] for name in names]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise MienError(
            f"the weight {path} cannot be read ({error}); reinstall the project"
        ) from None


def open_model(
    name: str,
    weights: str,
    context: Context,
    *,
    takes: Iterable[str],
    gives: Iterable[str],
    backend: Backend = "auto",
    threads: int = 1,
) -> Model:
    """A network whose tensors are those that the node knows. Raises MienError.

    What runs it, and why nothing better, is the node's gauge ``backend``; while an engine is built,
    its progress is the node's status.
    """
    from inference.model import Model

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        context.status("waiting", line)

    folder, given = weight_folder(name, weights), {*gives}
    model = Model(folder, backend=backend, threads=threads, wanted=given, say=say)
    wants = {tensor.name for tensor in model.card.inputs}
    says = {tensor.name for tensor in model.card.outputs}
    if wants != set(takes) or not says >= given:
        model.close()
        raise MienError(
            f"the weight {folder} takes {', '.join(sorted(wants))}: "
            f"it is no {name}; export it again"
        )
    context.status("ok", "")
    context.gauge("backend", said[-1].partition(" runs on ")[2] if said else model.label)
    return model


def open_or_say(
    name: str,
    weights: str,
    context: Context,
    instead: str,
    *,
    takes: Iterable[str],
    gives: Iterable[str],
    threads: int = 1,
) -> Model | None:
    """The same, or None: the node's status then says why, and what is done ``instead``."""
    try:
        return open_model(name, weights, context, takes=takes, gives=gives, threads=threads)
    except MienError as error:
        context.status("degraded", f"{error}; {instead}")
        context.gauge("backend", "none")
        return None
