"""What is left of a generator's learning at lower precision: by emotion, on the face, of every
tensor that the live path takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.types import F32
from export.networks import Call, Network
from export.samples import Asked
from nodes.model import Model, missing
from training.metrics.statistics import ratio_interval

USED: Final = ("flow_out", "mask", "paint")
"""what nodes.learned_face takes of an answer"""
MOST: Final = 0.2
"""error over correction that int8 may have"""


@dataclass(frozen=True)
class Fidelity:
    """Edits of one kind: for each tensor the summed error over the summed size of what the
    network says there; of the flow, over its correction of the flow that it was given. ``high`` is
    the upper end of a 95 % interval, people drawn anew."""

    kind: str
    edits: int
    people: int
    off: dict[str, float]
    high: dict[str, float]

    def row(self) -> dict[str, Any]:
        """As it goes into a card."""
        row: dict[str, Any] = {"edits": self.edits, "people": self.people}
        for name, value in self.off.items():
            row |= {name: round(value, 4), f"{name}_high": round(self.high[name], 4)}
        return row

    def good_enough(self) -> bool:
        """Whether int8 may stand in for float32 here."""
        return max(self.off.values()) <= MOST


def fidelity(
    asked: Sequence[Asked], reference: Callable[[Call], Call], run: Callable[[Call], Call]
) -> list[Fidelity]:
    """A row for each kind of edit, in the order in which they come."""
    sums: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(_zeros))
    counts: dict[str, int] = defaultdict(int)
    for edit in asked:
        truth, answer = reference(edit.call), run(edit.call)
        counts[edit.kind] += 1
        for name in USED:
            face = _fit(edit.face, truth[name])
            given = edit.call["flow"] if name == "flow_out" else np.zeros(1, np.float32)
            pair = sums[edit.kind][edit.subject][name]
            pair[0] += float(np.abs((answer[name] - truth[name]) * face).sum(dtype=np.float64))
            pair[1] += float(np.abs((truth[name] - given) * face).sum(dtype=np.float64))
    rows = []
    for kind, people in sums.items():
        off, high = {}, {}
        for name in USED:
            pairs = np.array([person[name] for person in people.values()])
            off[name] = float(pairs[:, 0].sum() / max(pairs[:, 1].sum(), 1e-9))
            high[name] = ratio_interval(pairs[:, 0], pairs[:, 1])[1]
        rows.append(Fidelity(kind, counts[kind], len(people), off, high))
    return rows


def fidelities(network: Network, folder: Path, asked: Sequence[Asked]) -> dict[str, list[Fidelity]]:
    """Every lower precision of OpenVINO that is here against the network itself."""
    if missing("openvino") is not None:
        return {}
    truths = {id(edit.call): network(edit.call) for edit in asked}
    out = {}
    for precision in ("bf16", "int8"):
        if precision == "int8" and not (folder / "int8.xml").is_file():
            continue
        model = Model(folder, backend="openvino", precision=precision, say=lambda line: None)
        try:
            rows = fidelity(asked, lambda call: truths[id(call)], partial(_call, model))
        finally:
            model.close()
        out[f"openvino_{precision}"] = rows
    return out


def lines_of(name: str, rows: Sequence[Fidelity]) -> list[str]:
    """A table in Markdown."""
    lines = [
        f"{name}: error over correction on the face (95 % below), at most {MOST}",
        "| edit | edits | people | " + " | ".join(USED) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(USED),
    ]
    for row in rows:
        cells = " | ".join(f"{row.off[key]:.3f} ({row.high[key]:.3f})" for key in USED)
        lines.append(f"| {row.kind} | {row.edits} | {row.people} | {cells} |")
    return lines


def _call(model: Model, call: Call) -> Call:
    return model(**call)


def _zeros() -> dict[str, list[float]]:
    return {name: [0.0, 0.0] for name in USED}


def _fit(face: F32, tensor: F32) -> F32:
    """The mask [S, S] at a tensor's own side."""
    step = len(face) // tensor.shape[-1]
    return face[::step, ::step]
