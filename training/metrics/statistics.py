"""Distances between sets of features, agreement of labels, concordance of curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def frechet_distance(first: Floats, second: Floats) -> float:
    """Between Gaussians fitted to features [N, D], [M, D] (Heusel et al. 2017, eq. 6).

    FID, FAD or VE-FID by whose features these are. |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2).
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


def cosine(first: Floats, second: Floats) -> float:
    """Mean cosine of paired features [N, D]: CSIM of emotion features, identity of faces'."""
    sizes = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / np.maximum(sizes, 1e-12)).mean())


def accuracy(truth: Ints, told: Ints) -> float:
    """The share told right [N]."""
    return float((truth == told).mean())


def macro_f1(truth: Ints, told: Ints) -> float:
    """Mean F1 of the classes that occur in truth or were told."""
    scores = []
    for kind in np.union1d(truth, told):
        right = int(((truth == kind) & (told == kind)).sum())
        scores.append(2 * right / int((truth == kind).sum() + (told == kind).sum()))
    return float(np.mean(scores))


def concordance(truth: Floats, told: Floats) -> float:
    """Lin's coefficient of two curves [N] (1989, eq. 1): 1 only where they are the same."""
    x, y = truth.astype(np.float64), told.astype(np.float64)
    shared = ((x - x.mean()) * (y - y.mean())).mean()
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * shared / spread) if spread > 0 else 1.0
