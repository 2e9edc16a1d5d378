"""Who stays together when people are divided: folds by identity, doubles found by their looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.types import U8

ALIKE_BITS = 30
"""of 256: aligned faces that differ in fewer are one moment (strangers differ in 36 and more)"""


def fingerprint(picture: U8) -> NDArray[np.bool_]:
    """A picture [H, W, 3] as 256 bits: where it grows brighter from left to right."""
    import cv2

    small = cv2.resize(
        cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (17, 16), interpolation=cv2.INTER_AREA
    )
    return np.asarray(np.diff(small.astype(np.float32), axis=1) > 0).ravel()


def alike(prints: NDArray[np.bool_], bits: int = ALIKE_BITS) -> list[tuple[int, int]]:
    """Pairs of fingerprints [N, 256] that differ in at most so many bits."""
    signs = np.where(prints, 1.0, -1.0).astype(np.float32)
    apart = (prints.shape[1] - signs @ signs.T) / 2
    first, second = np.nonzero(np.triu(apart <= bits, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def together(subjects: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each subject's person: the first by name of all that ``pairs`` tie together."""
    person = {name: name for name in subjects}

    def root(name: str) -> str:
        while person[name] != name:
            name = person[name]
        return name

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        person[high] = low
    return {name: root(name) for name in person}


def folds(labels: Mapping[str, Sequence[str]], count: int, seed: int = 0) -> dict[str, int]:
    """Each person's fold, from the labels of what there is of them: every fold gets about as much
    of each label; people of many labels choose first."""
    rng = np.random.default_rng(seed)
    names = sorted({label for own in labels.values() for label in own})
    have = {person: np.array([list(own).count(n) for n in names]) for person, own in labels.items()}
    total = np.maximum(sum(have.values(), np.zeros(len(names))), 1)
    filled = np.zeros((count, len(names)))
    order = sorted(have)
    rng.shuffle(order)
    order.sort(key=lambda person: -int(have[person].sum()))
    chosen = {}
    for person in order:
        cost = [((f + have[person]) / total) @ have[person] + 1e-3 * f.sum() for f in filled]
        chosen[person] = int(np.argmin(cost))
        filled[chosen[person]] += have[person]
    return chosen


def by_fold(chosen: Mapping[str, int], person_of: Mapping[str, str]) -> list[frozenset[str]]:
    """The subjects of each fold."""
    found: dict[int, set[str]] = defaultdict(set)
    for subject, person in person_of.items():
        found[chosen[person]].add(subject)
    return [frozenset(found[fold]) for fold in sorted(found)]
