"""How well classes are told apart, for people who weren't learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.statistics import Ints, accuracy, macro_f1, ratio_interval


@dataclass(frozen=True)
class Verdict:
    """``accuracy`` and between what it may lie (95 %, people drawn anew), ``balanced``: the mean
    of the classes' own, ``macro_f1``, ``confusion`` [C, C] rows truth, columns predicted."""

    accuracy: float
    low: float
    high: float
    balanced: float
    macro_f1: float
    confusion: Ints

    def lines(self, names: Sequence[str]) -> list[str]:
        """Markdown."""
        count = int(self.confusion.sum())
        head = (
            f"accuracy {self.accuracy:.3f} (95 %: {self.low:.3f} to {self.high:.3f}, "
            f"{count} samples), balanced {self.balanced:.3f}, macro F1 {self.macro_f1:.3f}"
        )
        rows = [head, "", "| truth | " + " | ".join(names) + " |"]
        rows.append("| --- |" + " ---: |" * len(names))
        for name, row in zip(names, self.confusion, strict=True):
            rows.append(f"| {name} | " + " | ".join(str(n) for n in row) + " |")
        return rows


def judge(
    truth: Ints, predicted: Ints, people: Sequence[str], classes: int, draws: int = 2000
) -> Verdict:
    """Compare labels [N]; ``people`` says whose each sample is."""
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    each = confusion.sum(axis=1)
    own = np.diag(confusion)[each > 0] / each[each > 0]
    _, person = np.unique(np.asarray(people), return_inverse=True)
    right = np.bincount(person, weights=(truth == predicted).astype(float))
    count = np.bincount(person)
    low, high = ratio_interval(right, count, draws)
    return Verdict(
        accuracy(truth, predicted),
        low,
        high,
        float(own.mean()),
        macro_f1(truth, predicted),
        confusion,
    )
