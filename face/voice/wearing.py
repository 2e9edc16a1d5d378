"""How a feeling shows beside what is said: above the mouth as it is, on the mouth a share, and
nothing of it where a phoneme closes the lips."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from engine.types import F32
from face.emotions import JAW, expression_of, expression_shapes, sides
from face.ramps import ramp
from face.types import BLENDSHAPES, EMOTIONS
from face.voice.lips import CLOSED, parted

MOUTH_SHARE: Final = 1 / 3
"""of a feeling on the mouth of who speaks"""
SPEAKS: Final = (0.02, 0.08)
"""from where to where of what the jaw did lately somebody speaks"""
SPEAKING_FORGETS_S: Final = 0.3
APART: Final = (CLOSED, 3 * CLOSED)
"""from where to where lips that speak are apart: what a feeling parts goes with them"""
MOUTH: Final = np.array([name.startswith(("jaw", "mouth")) for name in BLENDSHAPES])
"""[52]: which shapes are the mouth's"""
_PARTS: Final = [
    JAW, *sides("mouthUpperUp"), *sides("mouthLowerDown"), *sides("mouthStretch"),
    *sides("mouthSmile"), *sides("mouthDimple"),
]  # fmt: skip
"""shapes of a feeling that part lips, or pull them where they can't meet"""


class Wearing:
    """Of one face. ``expression`` [8] is how much of each feeling shows."""

    follows_s = 0.35
    """feelings come and go so slowly: a third of what was there is left after this time"""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another face, which feels nothing yet."""
        self.expression: F32 = np.zeros(len(EMOTIONS), np.float32)
        self._spoke = 0.0

    def __call__(self, said: F32, emotion: F32 | None, intensity: float, step_s: float) -> F32:
        """What shows [52] of an emotion (probabilities [8]) beside shapes ``said`` [52], ``step_s``
        seconds after the call before."""
        target = np.zeros_like(self.expression)
        if emotion is not None:
            target = np.float32(np.clip(intensity, 0, 1)) * expression_of(emotion)
        follows = np.float32(1 - math.exp(-step_s / self.follows_s))
        self.expression = self.expression + follows * (target - self.expression)
        faded = self._spoke * math.exp(-step_s / SPEAKING_FORGETS_S)
        self._spoke = max(faded, float(said[JAW]))
        felt = expression_shapes(self.expression).copy()
        speaks = ramp(*SPEAKS, self._spoke)
        felt[MOUTH] *= 1 - (1 - MOUTH_SHARE) * speaks
        felt[JAW] *= 1 - speaks
        felt[_PARTS] *= 1 - speaks * (1 - ramp(*APART, float(parted(said))))
        return felt
