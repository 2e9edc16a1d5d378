"""Log-mel spectra of speech: 16 kHz, 80 bins, a 25 ms window each 10 ms; nothing looks ahead."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from engine.types import F32

RATE_HZ: Final = 16_000
BINS: Final = 80
HOP: Final = 160
WINDOW: Final = 400
_FFT: Final = 512
_FLOOR: Final = 1e-5


@lru_cache(maxsize=1)
def filters() -> F32:
    """Triangles [80, 257] evenly spaced in mel, 0 to 8 kHz (O'Shaughnessy 1987)."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top, BINS + 2) / 2595) - 1)
    bins_hz = np.linspace(0, RATE_HZ / 2, _FFT // 2 + 1)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: F32) -> F32:
    """Samples [N] in -1..1 -> natural log of mel magnitudes [M, 80].

    Row m is of samples 160 m to 160 m + 400 and needs nothing later; M = (N - 400) // 160 + 1.
    """
    if len(samples) < WINDOW:
        return np.zeros((0, BINS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(WINDOW + 1)[:-1], _FFT))
    return np.log(np.maximum(spectrum @ filters().T, _FLOOR)).astype(np.float32)
