"""How a node gets a network: loaded and warm, or one line that says why not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.node import Context
from inference.weight_sets import weight_folder

SERVICE: Final = "inference"
"""the process that runs networks for many, among a graph's services"""

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
    inputs: Iterable[str],
    outputs: Iterable[str],
    backend: Backend = "auto",
    threads: int = 1,
) -> Model:
    """A network whose tensors are those that the node knows. Raises MienError.

    What runs it, and why nothing better, is the node's gauge ``backend``; while an engine is built,
    its progress is the node's status. Where the graph names a service ``inference``, it is shared.
    """
    from inference.model import Model

    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        context.status("waiting", line)

    folder, asked = weight_folder(name, weights), {*outputs}
    shared = context.services.get(SERVICE, "")
    model = Model(folder, backend=backend, threads=threads, outputs=asked, log=log, shared=shared)
    needed = {tensor.name for tensor in model.card.inputs}
    offered = {tensor.name for tensor in model.card.outputs}
    if needed != set(inputs) or not offered >= asked:
        model.close()
        raise MienError(
            f"the weight {folder} takes {', '.join(sorted(needed))}: "
            f"it is no {name}; export it again"
        )
    context.status("ok", "")
    context.gauge("backend", lines[-1].partition(" runs on ")[2] if lines else model.label)
    return model


def open_or_report(
    name: str,
    weights: str,
    context: Context,
    instead: str,
    *,
    inputs: Iterable[str],
    outputs: Iterable[str],
    threads: int = 1,
) -> Model | None:
    """The same, or None: the node's status then says why, and what is done ``instead``."""
    try:
        return open_model(name, weights, context, inputs=inputs, outputs=outputs, threads=threads)
    except MienError as error:
        context.status("degraded", f"{error}; {instead}")
        context.gauge("backend", "none")
        return None
