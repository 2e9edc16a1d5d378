"""Steadiness without lag: One-Euro filters for points and values that come with a time."""

from __future__ import annotations

import math

import numpy as np

from engine.types import F32

MAX_STEP_S = 0.5


class OneEuro:
    """Filter arrays of one shape (Casiez, Roussel and Vogel 2012, algorithm 1).

    Slow changes are smoothed with ``min_cutoff_hz``; each unit per second of speed adds ``beta``
    to the cutoff, so that quick ones pass at once.
    """

    def __init__(self, min_cutoff_hz: float, beta: float, speed_cutoff_hz: float = 4.0) -> None:
        self.min_cutoff_hz = min_cutoff_hz
        self.beta = beta
        self.speed_cutoff_hz = speed_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forget: the next value passes as it is."""
        self._value: F32 | None = None
        self._raw: F32 | None = None
        self._speed: F32 | None = None

    def __call__(self, value: F32, step_s: float, scale: float = 1.0) -> F32:
        """The filtered value, ``step_s`` seconds after the one before.

        ``scale``: what counts as one unit of speed, in the value's own unit.
        """
        if self._value is None or self._raw is None or not 0 < step_s <= MAX_STEP_S:
            self._value, self._raw, self._speed = value, value, np.zeros_like(value)
            return value
        speed = (value - self._raw) / step_s
        assert self._speed is not None
        self._speed = self._speed + _weight(self.speed_cutoff_hz, step_s) * (speed - self._speed)
        cutoff_hz = self.min_cutoff_hz + self.beta / scale * np.abs(self._speed)
        weight = 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
        self._raw = value
        self._value = (self._value + weight * (value - self._value)).astype(np.float32)
        return self._value


def _weight(cutoff_hz: float, step_s: float) -> float:
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
