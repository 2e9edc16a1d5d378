"""What is left of the skin network's learning at lower precision: by emotion, on the face."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from export.faces import Asked
from export.networks import Call, Network
from face.render.detail import skin_mask
from inference.model import Model, missing
from training.metrics.statistics import ratio_interval

SAID: Final = "change"
"""the tensor that is judged"""
MOST: Final = 0.2
"""error over change that lower precision may have"""


@dataclass(frozen=True)
class Fidelity:
    """Edits of one kind: the summed error over the summed size of what the network says there.
    ``high`` is the upper end of a 95 % interval, people drawn anew."""

    kind: str
    edits: int
    people: int
    off: float
    high: float

    def row(self) -> dict[str, Any]:
        """As it goes into a card."""
        counts = {"edits": self.edits, "people": self.people}
        return counts | {SAID: round(self.off, 4), f"{SAID}_high": round(self.high, 4)}

    def good_enough(self) -> bool:
        """Whether it may stand in for float32 here."""
        return self.off <= MOST


def fidelity(
    asked: Sequence[Asked], reference: Callable[[Call], Call], run: Callable[[Call], Call]
) -> list[Fidelity]:
    """A row for each kind of edit, in the order in which they come."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    counts: dict[str, int] = defaultdict(int)
    skin = skin_mask()
    for edit in asked:
        truth, answer = reference(edit.call)[SAID], run(edit.call)[SAID]
        counts[edit.kind] += 1
        pair = sums[edit.kind][edit.subject]
        pair[0] += float(np.abs((answer - truth) * skin).sum(dtype=np.float64))
        pair[1] += float(np.abs(truth * skin).sum(dtype=np.float64))
    rows = []
    for kind, people in sums.items():
        pairs = np.array(list(people.values()))
        off = float(pairs[:, 0].sum() / max(pairs[:, 1].sum(), 1e-9))
        high = ratio_interval(pairs[:, 0], pairs[:, 1])[1]
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
        model = Model(folder, backend="openvino", precision=precision, log=lambda line: None)
        try:
            rows = fidelity(asked, lambda call: truths[id(call)], partial(_call, model))
        finally:
            model.close()
        out[f"openvino_{precision}"] = rows
    return out


def lines_of(name: str, rows: Sequence[Fidelity]) -> list[str]:
    """A table in Markdown."""
    lines = [
        f"{name}: error over change on the face (95 % below), at most {MOST}",
        "| it becomes | edits | people | error |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = f"{row.edits} | {row.people} | {row.off:.3f} ({row.high:.3f})"
        lines.append(f"| {row.kind} | {cells} |")
    return lines


def _call(model: Model, call: Call) -> Call:
    return model(**call)
