"""How late the sound of a recording is for its picture, told by those where it isn't late.

Clips that went through many hands have sound that was cut or encoded apart from the picture, by up
to a quarter of a second: lips learned from them would be late, too. A ridge regression from what is
heard to how far lips are apart, fitted where the truth is known, tells when lips should part.
Legend: T steps of 20 ms, F features of the audio backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from engine.types import F32
from training.trainers.samples import Array

BACK: Final = 12
"""steps that are looked back on"""
FARTHEST: Final = 15
"""steps that sound and picture may be apart"""
DOUBT: Final = 0.03
KEPT: Final = 64


class Offset(NamedTuple):
    """``steps`` that the sound is late; ``agrees``: correlation of lips that are seen with lips
    that are heard, then."""

    steps: int
    agrees: float


@dataclass(frozen=True, eq=False)
class Guess:
    """How far lips are apart [T], from what is heard [T, F], by a linear map."""

    middle: F32
    into: F32
    weights: F32
    lift: float

    @staticmethod
    def fit(heard: Sequence[Array], parted: Sequence[F32]) -> Guess:
        """From recordings whose truth is known, as late as it is said."""
        every = np.concatenate(heard).astype(np.float32)
        middle = every.mean(axis=0)
        spread = every.std(axis=0) + 1e-3
        scaled = (every - middle) / spread
        values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        into = vectors[:, -KEPT:] / np.sqrt(values[-KEPT:] + 1e-6) / spread[:, None]
        rows = np.concatenate(
            [_behind(np.asarray((h.astype(np.float32) - middle) @ into, np.float32)) for h in heard]
        )
        target = np.concatenate(parted)
        lift = float(target.mean())
        squares = rows.T @ rows + DOUBT * len(rows) * np.eye(rows.shape[1])
        weights = np.linalg.solve(squares, rows.T @ (target - lift))
        return Guess(middle, into.astype(np.float32), weights.astype(np.float32), lift)

    def __call__(self, heard: Array) -> F32:
        rows = _behind(np.asarray((heard.astype(np.float32) - self.middle) @ self.into))
        return np.asarray(rows @ self.weights + self.lift, np.float32)


def _behind(x_TF: F32) -> F32:
    """Each row with BACK - 1 before it."""
    parts = [np.concatenate([np.repeat(x_TF[:1], k, axis=0), x_TF[: len(x_TF) - k]])
             for k in range(BACK)]  # fmt: skip
    return np.concatenate(parts, axis=1)


def offset_of(guessed: Sequence[F32], seen: Sequence[F32], known: Sequence[Array]) -> Offset:
    """Of one recording, from its pieces: lips as they are heard, as they are seen, and where."""
    best = Offset(0, -1.0)
    for steps in sorted(range(-FARTHEST, FARTHEST + 1), key=abs):
        moved = [_moved(*piece, steps) for piece in zip(guessed, seen, known, strict=True)]
        a, b = (np.concatenate([pair[i] for pair in moved]) for i in range(2))
        if len(a) > 2 * FARTHEST and a.std() > 1e-6 and b.std() > 1e-6:
            agrees = float(np.corrcoef(a, b)[0, 1])
            best = Offset(steps, agrees) if agrees > best.agrees else best
    return best


def _moved(heard: F32, seen: F32, known: Array, steps: int) -> tuple[F32, F32]:
    """What belongs together if the sound is ``steps`` late; each about its own mean."""
    size = min(len(heard), len(seen)) - abs(steps)
    if size < 1:
        return heard[:0], seen[:0]
    a = heard[max(steps, 0) :][:size]
    b, there = seen[max(-steps, 0) :][:size], known[max(-steps, 0) :][:size]
    a, b = a[there], b[there]
    return (a - a.mean(), b - b.mean()) if len(a) else (a, b)
