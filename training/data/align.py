"""The same sentence twice, brought into step: dynamic time warping over mel spectra.

Pairs of frames from two recordings of a sentence in two emotions, as CDRL builds them (section
4.2), by librosa's dynamic time warping (Sakoe and Chiba 1978).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from training.data.clip import ClipInfo

Path = NDArray[np.int64]
ROWS_PER_FRAME: Final = 4
_BANDED: Final = 5
"""rows from which on a band leaves a path open"""


def warp(first: F32, second: F32, band: float = 0.25) -> Path:
    """The cheapest path [P, 2] through two mel spectra [M, B], [N, B], both ends tied.

    ``band`` is how far it may leave the diagonal, as a share of the shorter one.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    from librosa.sequence import dtw  # half of scipy comes with it

    banded = min(len(first), len(second)) >= _BANDED
    _, path = dtw(C=_distances(first, second), global_constraints=banded, band_rad=band)
    return np.asarray(path[::-1], np.int64)


def frames_in_step(first: F32, second: F32, frames: int, others: int) -> NDArray[np.int64]:
    """For each of ``frames`` pictures of the first clip the picture of the second [frames]."""
    path = warp(first, second)
    if not len(path) or not frames or not others:
        return np.zeros(0, np.int64)
    rows = np.minimum(np.arange(frames) * ROWS_PER_FRAME, path[-1, 0])
    starts = np.searchsorted(path[:, 0], rows, side="left")
    ends = np.searchsorted(path[:, 0], rows, side="right") - 1
    middle = path[(starts + ends) // 2, 1]
    nearest: NDArray[np.int64] = np.round(middle / ROWS_PER_FRAME).astype(np.int64)
    return np.asarray(np.clip(nearest, 0, others - 1))


def pairs(infos: Sequence[ClipInfo]) -> list[tuple[int, int]]:
    """Places of clips in which a subject says one sentence, seen by one camera, in two emotions."""
    groups: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for place, info in enumerate(infos):
        if info.sentence and info.emotion:
            groups[info.source, info.subject, info.sentence, info.view].append(place)
    return [
        (a, b)
        for places in groups.values()
        for a, b in combinations(places, 2)
        if infos[a].emotion != infos[b].emotion
    ]


def _shape(mel: F32) -> F32:
    """Rows free of loudness, of one length: what is said rather than how loud."""
    centred = mel - mel.mean(axis=1, keepdims=True)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(size, 1e-6), np.float32)


def _distances(first: F32, second: F32) -> NDArray[np.float64]:
    return 1.0 - (_shape(first) @ _shape(second).T).astype(np.float64)
