"""What a recorded voice feels, as far as it is known: seen, judged, or acted."""

from __future__ import annotations

from typing import Final

import numpy as np

from face.emotions import ANGLES_DEG
from training.trainers.samples import Array, Sample

ACTED: Final = 0.8
"""intensity of an acted emotion of no known level; of levels 1 to 3:"""
LEVELS: Final = (0.4, 0.65, 0.9)
ACTED_TRUST: Final = 0.3
"""how much such a guess counts beside one that was judged or measured"""
BORED: Final = (-0.2, -0.5)
"""valence and arousal of boredom (Russell 1980, figure 2)"""


def felt(sample: Sample, steps: int) -> tuple[Array, Array, Array]:
    """Valence-arousal [T, 2], intensity [T, 1] and how far they count [T, 1], by 40 ms steps.

    A step is one picture at 25 a second: what the face shows, or the truth, is
    taken where it is there; else what the whole recording was judged to be; else its label.
    """
    affect, intensity, known = (np.zeros((steps, n), np.float32) for n in (2, 1, 1))
    labels, info = sample.labels, sample.clip.info
    if count := min(steps, len(sample.clip)):
        affect[:count] = np.stack([labels.valence[:count], labels.arousal[:count]], axis=1)
        intensity[:count, 0] = labels.intensity[:count]
        known[:count, 0] = labels.known[:count]
    elif info.felt is not None:
        affect[:], intensity[:], known[:] = info.felt, min(float(np.hypot(*info.felt)), 1), 1
    elif info.label:
        strong = LEVELS[info.level - 1] if info.level else ACTED
        place = np.zeros(2)
        if info.emotion in ANGLES_DEG:
            angle = np.radians(ANGLES_DEG[info.emotion])
            place = strong * np.array([np.cos(angle), np.sin(angle)])
        elif info.word == "boredom":
            place = np.array(BORED)
        affect[:], intensity[:], known[:] = place, np.hypot(*place), ACTED_TRUST
    return affect, intensity, known
