"""What is measured of a face that a voice moves: when, how far, how sure lips close.

Legend: T steps of 20 ms, K the 52 shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.rig import load_rig
from face.topology import INNER_LIPS, LIPS_OUTER, OUTER_EYE_LEFT, OUTER_EYE_RIGHT
from face.voice.lips import CLOSED, parted
from training.data.clip import Phone
from training.data.talk import STEPS_HZ

BILABIALS: Final = ("P", "B", "M")
_NEAR_S: Final = 0.04
"""by how much lips may close before or after a phone that was heard by machine"""
_LAGS: Final = 15


def correlation(first: F32, second: F32) -> float:
    """Of two curves; nan where one is flat."""
    if len(first) < 3 or first.std() < 1e-6 or second.std() < 1e-6:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def offset_ms(guess_T: F32, truth_T: F32) -> tuple[float, float]:
    """By how much a curve is late for the truth (above 0: later), and their correlation then."""
    scores = [correlation(*moved(guess_T, truth_T, lag)) for lag in range(-_LAGS, _LAGS + 1)]
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else _LAGS
    return (best - _LAGS) * 1000 / STEPS_HZ, scores[best]


def moved(guess: F32, truth: F32, lag: int) -> tuple[F32, F32]:
    """What belongs together where the first is ``lag`` steps late."""
    size = min(len(guess), len(truth)) - abs(lag)
    return guess[max(lag, 0) :][:size], truth[max(-lag, 0) :][:size]


def error(guess_TK: F32, truth_TK: F32, shapes_K: NDArray[np.bool_]) -> float:
    """Mean absolute difference of some shapes."""
    return float(np.abs(guess_TK - truth_TK)[:, shapes_K].mean())


def lip_error(guess_TK: F32, truth_TK: F32) -> tuple[float, float]:
    """LVE: the largest displacement of a lip point, mean over steps, on the mean face of the linear
    rig: in eye distances, and in mm."""
    basis, eyes_cm = _lips()
    off = np.linalg.norm(np.tensordot(guess_TK - truth_TK, basis, axes=1), axis=2).max(axis=1)
    return float(off.mean() / eyes_cm), float(off.mean() * 10)


@lru_cache(maxsize=1)
def _lips() -> tuple[F32, float]:
    rig = load_rig()
    points = sorted({*LIPS_OUTER.tolist(), *INNER_LIPS})
    eyes = rig.mean[OUTER_EYE_LEFT] - rig.mean[OUTER_EYE_RIGHT]
    return rig.basis[:, points], float(np.linalg.norm(eyes))


def closures(rig_TK: F32, phones: Sequence[Phone]) -> list[bool]:
    """Of each p, b and m that isn't at the very edge: whether lips meet in it."""
    apart, found = parted(rig_TK), []
    for phone in phones:
        first = int((phone.start_s - _NEAR_S) * STEPS_HZ)
        last = int((phone.end_s + _NEAR_S) * STEPS_HZ) + 1
        if phone.name in BILABIALS and first >= 0 and last <= len(apart):
            found.append(bool(apart[first:last].min() < CLOSED))
    return found


def shuts_after_ms(rig_TK: F32, silent_from: int) -> float:
    """How long after a voice ends lips are closed, and stay so; inf where they never do."""
    later = parted(rig_TK[silent_from:]) >= CLOSED
    if later[-1]:
        return float("inf")
    return float(np.flatnonzero(later).max(initial=-1) + 1) * 1000 / STEPS_HZ


def opens_share(rig_TK: F32) -> float:
    """Share of steps in which lips are apart, of what nobody says."""
    return float((parted(rig_TK) >= CLOSED).mean())
