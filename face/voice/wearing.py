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
SPEAKS: Final = (0.015, 0.04)
"""from where to where of what the jaw did lately somebody speaks; who speaks low opens it little"""
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


def wish_of(emotion: F32 | None, intensity: float) -> F32:
    """The expression [8] of a feeling (probabilities [8]; None: none is known)."""
    if emotion is None:
        return np.zeros(len(EMOTIONS), np.float32)
    return np.float32(np.clip(intensity, 0, 1)) * expression_of(emotion)


class Wearing:
    """Of one face. ``expression`` [8] is how much of each feeling shows; ``other`` [52] what shows
    beyond that."""

    follows_s = 0.35
    """feelings come and go so slowly: a third of what was there is left after this time"""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another face, which feels nothing yet."""
        self.expression: F32 = np.zeros(len(EMOTIONS), np.float32)
        self.other: F32 = np.zeros(len(BLENDSHAPES), np.float32)
        self._beyond = self.other
        self._spoke = 0.0

    def __call__(
        self,
        said: F32,
        wish: F32,
        step_s: float,
        beyond: F32 | None = None,
        rests: float = 0.0,
    ) -> F32:
        """What shows [52] of an expression that is wished for [8], and of shapes [52] ``beyond``
        it, beside shapes ``said`` [52], ``step_s`` seconds after the call before, of a jaw that
        ``rests`` so far open."""
        follows = np.float32(1 - math.exp(-step_s / self.follows_s))
        self.expression = self.expression + follows * (wish - self.expression)
        self._beyond = self._beyond + follows * ((0 if beyond is None else beyond) - self._beyond)
        faded = self._spoke * math.exp(-step_s / SPEAKING_FORGETS_S)
        self._spoke = max(faded, float(said[JAW]) - rests)
        share = self._share(said)
        self.other = share * self._beyond
        return share * expression_shapes(self.expression) + self.other

    def _share(self, said: F32) -> F32:
        """Of each shape of a feeling [52], how much shows while this is said."""
        share = np.ones(len(BLENDSHAPES), np.float32)
        speaks = ramp(*SPEAKS, self._spoke)
        share[MOUTH] -= (1 - MOUTH_SHARE) * speaks
        share[JAW] *= 1 - speaks
        share[_PARTS] *= 1 - speaks * (1 - ramp(*APART, float(parted(said))))
        return share
