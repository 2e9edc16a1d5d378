"""What lower precision loses of what a network says, by the kind of example, where it matters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.networks import Network
from inference.model import Model, missing
from training.examples import Call, Example
from training.metrics.statistics import ratio_interval
from training.recipe import Tolerance


@dataclass(frozen=True)
class Fidelity:
    """Examples of one kind: the summed error over the summed size of what the network says there.
    ``high`` is the upper end of a 95 % interval, people drawn anew."""

    tolerance: Tolerance
    kind: str
    edits: int
    people: int
    off: float
    high: float

    def row(self) -> dict[str, Any]:
        """As it goes into a card."""
        counts = {"edits": self.edits, "people": self.people}
        output = self.tolerance.output
        return counts | {output: round(self.off, 4), f"{output}_high": round(self.high, 4)}

    def good_enough(self) -> bool:
        """Whether it may stand in for float32 here."""
        return self.off <= self.tolerance.error


def fidelity(
    asked: Sequence[Example],
    reference: Callable[[Call], Call],
    run: Callable[[Call], Call],
    tolerance: Tolerance,
) -> list[Fidelity]:
    """A row for each kind of example, in the order in which they come."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    counts: dict[str, int] = defaultdict(int)
    output, where = tolerance.output, tolerance.mask()
    for edit in asked:
        truth, answer = reference(edit.call)[output], run(edit.call)[output]
        counts[edit.kind] += 1
        pair = sums[edit.kind][edit.subject]
        pair[0] += float(np.abs((answer - truth) * where).sum(dtype=np.float64))
        pair[1] += float(np.abs(truth * where).sum(dtype=np.float64))
    rows = []
    for kind, people in sums.items():
        pairs = np.array(list(people.values()))
        off = float(pairs[:, 0].sum() / max(pairs[:, 1].sum(), 1e-9))
        high = ratio_interval(pairs[:, 0], pairs[:, 1])[1]
        rows.append(Fidelity(tolerance, kind, counts[kind], len(people), off, high))
    return rows


def fidelities(
    network: Network, folder: Path, asked: Sequence[Example], tolerance: Tolerance
) -> dict[str, list[Fidelity]]:
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
            rows = fidelity(asked, lambda call: truths[id(call)], partial(_call, model), tolerance)
        finally:
            model.close()
        out[f"openvino_{precision}"] = rows
    return out


def lines_of(name: str, rows: Sequence[Fidelity]) -> list[str]:
    """A table in Markdown."""
    told = rows[0].tolerance
    lines = [
        f"{name}: error over {told.output} (95 % below), at most {told.error}",
        "| it becomes | edits | people | error |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = f"{row.edits} | {row.people} | {row.off:.3f} ({row.high:.3f})"
        lines.append(f"| {row.kind} | {cells} |")
    return lines


def _call(model: Model, call: Call) -> Call:
    return model(**call)
