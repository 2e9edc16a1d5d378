"""A made voice that says nothing: vowels that glide, at the pace and with the melody of speech.

What listens to callers takes it for somebody who speaks (`face/affect/voice_activity.py`), so that
what speech costs is measured where nobody has recorded any.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FORMANTS_HZ: Final = (
    (730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410),
)  # fmt: skip
"""of a, i, u, e, o: Peterson and Barney 1952, table II, men"""
SYLLABLE_S: Final = (0.12, 0.3)
PITCH_HZ: Final = (95.0, 165.0)
HARMONICS: Final = 40
PEAK: Final = 0.3


def babble(seconds: float, rate_hz: int) -> NDArray[np.int16]:
    """The same sound each time, int16 [N]."""
    rng = np.random.default_rng(0)
    count = int(seconds * rate_hz)
    time_s = np.arange(count) / rate_hz
    ends = np.cumsum(rng.uniform(*SYLLABLE_S, int(seconds / SYLLABLE_S[0]) + 1))
    middles = ends - SYLLABLE_S[0] / 2
    vowels = np.array(FORMANTS_HZ)[rng.integers(0, len(FORMANTS_HZ), len(ends))]
    formants = [np.interp(time_s, middles, vowels[:, place]) for place in range(3)]
    pitch_hz = np.interp(time_s, ends, rng.uniform(*PITCH_HZ, len(ends)))
    knots = np.column_stack([middles, ends]).ravel()
    loud = np.interp(time_s, knots, np.tile([1.0, 0.1], len(ends)))
    turns = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    sound = np.zeros(count)
    for harmonic in range(1, HARMONICS):
        off = [
            (harmonic * pitch_hz - formant) / (60 + 30 * i) for i, formant in enumerate(formants)
        ]
        gain = sum(0.6**i / (1 + away**2) for i, away in enumerate(off))
        sound += (gain + 0.003) * np.sin(harmonic * turns) / harmonic**0.3
    breath = np.diff(rng.normal(0, 1, count), prepend=0)
    breathed = rng.random(len(ends)) < 0.4
    at = np.searchsorted(ends, time_s).clip(max=len(ends) - 1)
    sound = sound * loud + 0.15 * breath * breathed[at] * (1 - loud)
    return np.asarray(np.round(PEAK * 32767 * sound / np.abs(sound).max()), np.int16)
