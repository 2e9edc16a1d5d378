"""Distances between sets of features, agreement of labels, concordance of curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
SEED = 0
"""of people drawn anew, for intervals"""


def frechet_distance(first: Floats, second: Floats) -> float:
    """Between Gaussians fitted to features [N, D], [M, D] (Heusel et al. 2017, eq. 6).

    FD lite0, FD dlib or VE-FID by whose features these are:
    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2).
    """
    if len(first) < 2 or len(second) < 2:
        raise ValueError("a Frechet distance needs two features of each side at least")
    mean = (
        (first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)) ** 2
    ).sum()
    left, right = (
        np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (first, second)
    )
    values, vectors = np.linalg.eigh(left)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ right @ root), 0)).sum()
    return float(max(mean + np.trace(left) + np.trace(right) - 2 * shared, 0.0))


def left_out_error(
    distance: Callable[[Floats, Floats], float],
    sides: Sequence[Floats],
    names: Sequence[Sequence[str]],
) -> float:
    """Half the width of the 95 % interval of a distance between two sets of features, each
    person's on either side left out in turn (a jackknife, Efron 1979). Drawing people anew would
    not do: a Frechet distance of fewer is larger."""
    variance = 0.0
    for side, people in enumerate(names):
        who, left = np.asarray(people), list[float]()
        for name in sorted(set(people)):
            if (who != name).sum() >= 2:  # a covariance needs so many
                parts = [x[who != name] if i == side else x for i, x in enumerate(sides)]
                left.append(distance(parts[0], parts[1]))
        if len(left) < 2:
            return float("nan")
        variance += (len(left) - 1) * float(np.var(left))
    return float(1.96 * np.sqrt(variance))


def cosine(first: Floats, second: Floats) -> float:
    """Mean cosine of paired features [N, D]: CSIM of emotion features, identity of faces'."""
    sizes = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / np.maximum(sizes, 1e-12)).mean())


def accuracy(truth: Ints, predicted: Ints) -> float:
    """The share predicted right [N]."""
    return float((truth == predicted).mean())


def macro_f1(truth: Ints, predicted: Ints) -> float:
    """Mean F1 of the classes that occur in truth or were predicted."""
    scores = []
    for kind in np.union1d(truth, predicted):
        right = int(((truth == kind) & (predicted == kind)).sum())
        scores.append(2 * right / int((truth == kind).sum() + (predicted == kind).sum()))
    return float(np.mean(scores))


def fleiss_kappa(counts: Ints) -> float:
    """Agreement of raters beyond chance (Fleiss 1971, eq. 7): ``counts`` [N, C] of things and
    classes; 1 is full agreement, 0 chance.

    Things may have differently many raters; those of fewer than two say nothing. nan where none is
    left, or all of them got one class.
    """
    counts = counts[counts.sum(axis=1) > 1].astype(np.float64)
    if not len(counts):
        return float("nan")
    raters = counts.sum(axis=1)
    agreed = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    by_chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    if by_chance == 1:
        return float("nan")
    return (float(agreed.mean()) - by_chance) / (1 - by_chance)


def redrawn(parts: Floats, draws: int = 2000) -> NDArray[np.float64]:
    """Sums [draws, ...] of what people gave [P, ...], as if as many people had been drawn anew (a
    bootstrap, Efron 1979)."""
    times = np.random.default_rng(SEED).multinomial(
        len(parts), [1 / len(parts)] * len(parts), draws
    )
    return np.tensordot(times.astype(np.float64), parts, axes=1)


def interval(values: Floats) -> tuple[float, float]:
    """Between what 95 % of the values [draws] lie; those that are none don't count."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def ratio_interval(
    over: Floats | Ints, under: Floats | Ints, draws: int = 2000
) -> tuple[float, float]:
    """Between what the ratio of two sums may lie (95 %), of parts [P], [P] of as many people; of a
    mean ``under`` counts."""
    sums = redrawn(np.stack([over, under], axis=1).astype(np.float64), draws)
    return interval(sums[:, 0] / np.maximum(sums[:, 1], 1e-12))


def f1_interval(confusions: Ints, draws: int = 2000) -> tuple[float, float]:
    """The same of macro F1, of each person's confusion [P, C, C], rows truth."""
    sums = redrawn(confusions.astype(np.float64), draws)
    right = np.diagonal(sums, axis1=1, axis2=2)
    there = sums.sum(axis=1) + sums.sum(axis=2)
    scores = np.where(there > 0, 2 * right / np.maximum(there, 1), np.nan)
    return interval(np.nanmean(scores, axis=1))


def mean_recall(confusion: Floats | Ints) -> Floats:
    """Mean over classes of the share that was predicted right, of confusions [..., C, C], rows
    truth: by chance one in C. A class that doesn't occur doesn't count."""
    there = confusion.sum(axis=-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    recalls = np.where(there > 0, right / np.maximum(there, 1), np.nan)
    return np.asarray(np.nanmean(recalls, axis=-1))


def recall_interval(confusions: Ints, draws: int = 2000) -> tuple[float, float]:
    """Between what mean recall may lie (95 %), of each person's confusion [P, C, C]."""
    return interval(mean_recall(redrawn(confusions.astype(np.float64), draws)))


def concordance_interval(
    truth: Sequence[Floats], predicted: Sequence[Floats], people: Sequence[str], draws: int = 2000
) -> tuple[float, float]:
    """The same of the concordance of curves [N] of some clips; ``people`` says whose each is."""
    pairs = [
        (x.astype(np.float64), y.astype(np.float64)) for x, y in zip(truth, predicted, strict=True)
    ]
    moments = [(len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), x @ y) for x, y in pairs]
    _, person = np.unique(np.asarray(people), return_inverse=True)
    parts = np.zeros((person.max() + 1, 6))
    np.add.at(parts, person, np.array(moments, np.float64))
    sums = redrawn(parts, draws)
    x, y, xx, yy, xy = (sums[:, 1:] / np.maximum(sums[:, :1], 1)).T
    spread = (xx - x * x) + (yy - y * y) + (x - y) ** 2
    return interval(2 * (xy - x * y) / np.maximum(spread, 1e-12))


def concordance(truth: Floats, predicted: Floats) -> float:
    """Lin's coefficient of two curves [N] (1989, eq. 1): 1 only where they are the same."""
    x, y = truth.astype(np.float64), predicted.astype(np.float64)
    shared = ((x - x.mean()) * (y - y.mean())).mean()
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * shared / spread) if spread > 0 else 1.0
