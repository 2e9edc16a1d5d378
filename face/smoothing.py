"""Smoothing without lag: One-Euro filters for points and values that come with a time."""

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
        self._cutoff_hz: F32 | None = None
        self._held_s = 0.0

    def __call__(self, value: F32, step_s: float, scale: float = 1.0) -> F32:
        """The filtered value, ``step_s`` seconds after the one before.

        ``scale``: what counts as one unit of speed, in the value's own unit.
        """
        since_s = self._held_s + step_s
        self._held_s = 0.0
        if self._value is None or self._raw is None or not 0 < since_s <= MAX_STEP_S:
            self._value, self._raw, self._speed = value, value, np.zeros_like(value)
            self._cutoff_hz = np.full_like(value, self.min_cutoff_hz)
            return value
        speed = (value - self._raw) / since_s
        assert self._speed is not None
        self._speed = self._speed + _weight(self.speed_cutoff_hz, since_s) * (speed - self._speed)
        self._cutoff_hz = self.min_cutoff_hz + np.float32(self.beta / scale) * np.abs(self._speed)
        self._raw = value
        return self._towards(step_s)

    def hold(self, step_s: float) -> F32:
        """The filtered value ``step_s`` seconds later, while no new value has come."""
        assert self._value is not None, "hold what?"
        self._held_s += step_s
        return self._towards(step_s)

    def _towards(self, step_s: float) -> F32:
        assert self._value is not None and self._raw is not None and self._cutoff_hz is not None
        if step_s <= 0:
            return self._value
        weight = 1 / (1 + 1 / (2 * math.pi * self._cutoff_hz * step_s))
        self._value = (self._value + weight * (self._raw - self._value)).astype(np.float32)
        return self._value


def _weight(cutoff_hz: float, step_s: float) -> float:
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
