"""Whether somebody speaks, by the lips alone: who is silent may let the mouth fall open."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from engine.types import F32
from face.ramps import ramp
from face.smoothing import MAX_STEP_S
from face.topology import LIP_MIDDLES, OUTER_EYE_LEFT, OUTER_EYE_RIGHT

SPEAKS: Final = (0.012, 0.035)
"""from where to where the opening's range of late, in eye distances, tells that lips speak"""
FORGETS: Final = 0.04
"""by how much of it a second an opening of before is forgotten"""
EASE_S: Final = (0.06, 0.4)
"""how quickly the mouth is given up to speech, and how slowly it is taken back"""


class StillLips:
    """How surely the lips of a face in video are still, 0..1; of a single picture they are."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another face, or another picture."""
        self._range: tuple[float, float] | None = None
        self._still = 1.0

    def __call__(self, landmarks: F32, step_s: float) -> float:
        """From landmarks [478, 3] px, ``step_s`` seconds after the ones before."""
        apart = mouth_aperture(landmarks)
        if not 0 <= step_s <= MAX_STEP_S:
            self.reset()
        low, high = self._range or (apart, apart)
        forgotten = FORGETS * step_s
        low, high = min(apart, low + forgotten), max(apart, high - forgotten)
        self._range = low, high
        still = 1 - ramp(*SPEAKS, high - low)
        ease_s = EASE_S[0] if still < self._still else EASE_S[1]
        self._still = still + (self._still - still) * math.exp(-max(step_s, 0.0) / ease_s)
        return self._still


def mouth_aperture(landmarks: F32) -> float:
    """How far the inner lips are apart, in eye distances, from landmarks [478, 2..3]."""
    eyes = _apart(landmarks, OUTER_EYE_LEFT, OUTER_EYE_RIGHT)
    return _apart(landmarks, *LIP_MIDDLES) / max(eyes, 1.0)


def _apart(landmarks: F32, one: int, other: int) -> float:
    return float(np.linalg.norm(landmarks[one, :2] - landmarks[other, :2]))
