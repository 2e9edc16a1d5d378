"""How somebody articulates: how far each shape goes beside what is usual, and where it rests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.types import F32
from face.types import BLENDSHAPES

SHARE: Final = 0.1
"""share of the frames, those that show most of a shape, that tell how far it goes"""
REST: Final = 10.0
"""per cent of the frames that lie below what counts as rest"""
RANGE: Final = (1 / 3, 3.0)
"""how far from the usual a speaker may be"""


@dataclass(frozen=True, eq=False)
class Style:
    """``gain`` [52], 1 is usual, and ``rest`` [52]."""

    gain: F32
    rest: F32

    @property
    def vector(self) -> F32:
        """Both as one [104]."""
        return np.concatenate([self.gain, self.rest])

    @staticmethod
    def of(vector: F32) -> Style:
        """The style that a vector [104] holds."""
        gain, rest = vector.reshape(2, -1)
        return Style(gain, rest)


def usual_style() -> Style:
    """Of nobody in particular."""
    shape = len(BLENDSHAPES)
    return Style(np.ones(shape, np.float32), np.zeros(shape, np.float32))


def style_of(rig_TK: F32, usual_K: F32) -> Style:
    """Of somebody whose talk was tracked [T, 52] for ten seconds or so; ``usual_K`` [52] is how far
    each shape goes usually."""
    rest = np.percentile(rig_TK, REST, axis=0).astype(np.float32)
    return Style(gain(amplitude(np.clip(rig_TK - rest, 0, 1)), usual_K), rest)


def amplitude(rig_TK: F32) -> F32:
    """How far each shape goes when it goes far [52]: the mean of the tenth that shows most."""
    count = max(1, round(SHARE * len(rig_TK)))
    return np.asarray(np.sort(rig_TK, axis=0)[-count:].mean(axis=0), np.float32)


def gain(own_K: F32, usual_K: F32) -> F32:
    """How much wider than usual each shape goes [52], within RANGE."""
    return np.asarray(np.clip(own_K / np.maximum(usual_K, 1e-3), *RANGE), np.float32)
