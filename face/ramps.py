"""From 0 to 1: how much of something, between where it begins and where it is whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import F32


def ramp(low: float, high: float, value: float) -> float:
    """0 below ``low``, 1 above ``high``, straight between."""
    return min(max((float(value) - low) / (high - low), 0.0), 1.0)


def smoothstep(low: float, high: float, values: NDArray[Any]) -> F32:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
