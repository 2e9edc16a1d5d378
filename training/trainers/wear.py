"""What pictures and voices go through on their way to a network: cameras, codecs, rooms, rates."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from nodes.mel import BINS, RATE_HZ

_TOP_MEL: Final = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
_CENTRES_HZ: Final = 700 * (10 ** (np.linspace(0, _TOP_MEL, BINS + 2)[1:-1] / 2595) - 1)

HARSH: Final = 0.3
"""share of voices that come from far, in noise; the others are clean but for another throat"""


def worn_picture(picture: U8, rng: np.random.Generator) -> U8:
    """A crop [256, 256, 3] after a poor camera, in the dark, behind a hand, as a small JPEG; most
    crops are spared most of it."""
    import cv2

    out = picture
    side = out.shape[0]
    if rng.random() < 0.4:
        small = int(rng.integers(side // 5, side))
        way = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_NEAREST
        out = cv2.resize(out, (small, small), interpolation=way).astype(np.uint8, copy=False)
        out = cv2.resize(out, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    if rng.random() < 0.5:
        curve = 255 * np.linspace(0, 1, 256) ** rng.uniform(0.5, 1.9)
        out = curve.astype(np.uint8)[out]
    if rng.random() < 0.3:
        out = np.clip(out * _slant(side, rng)[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 14), (side, side, 1))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        data = cv2.imencode(".jpg", out, quality)[1]
        packed = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert packed is not None
        out = packed.astype(np.uint8, copy=False)
    if rng.random() < 0.3:
        out = out.copy()
        high, wide = rng.integers(side // 10, side // 3, 2)
        top, left = int(rng.integers(side - high)), int(rng.integers(side - wide))
        out[top : top + high, left : left + wide] = rng.integers(0, 256, 3)
    return out


def worn_voice(mel: F32, rng: np.random.Generator) -> F32:
    """A log-mel [M, 80] of another throat, rate, microphone and room; its length changes."""
    out = _other_throat(mel, float(np.exp(rng.uniform(-0.15, 0.15))), rng)
    bins = np.linspace(0, np.pi, BINS)
    harsh = rng.random() < HARSH
    tilts = rng.normal(0, (0.5, 0.5, 0.3, 0.3)) * (1 if harsh else 0.4)
    out = out + sum(tilt * np.cos(order * bins) for order, tilt in enumerate(tilts))
    if harsh and rng.random() < 0.6:
        out = _echoing(out, float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.7, 0.93)))
    level = np.quantile(out, rng.uniform(0, 0.3 if harsh else 0.05))
    floor = level + rng.normal(0, 0.5) * np.cos(bins)
    if harsh or rng.random() < 0.3:
        out = np.logaddexp(out, floor + rng.normal(0, 0.35, out.shape))
    quiet = float(np.quantile(out, 0.05))
    low, width = int(rng.integers(BINS)), int(rng.integers(10))
    out[:, low : low + width] = quiet
    start, length = int(rng.integers(len(out))), int(rng.integers(14))
    out[start : start + length] = quiet
    return out.astype(np.float32)


def _other_throat(mel: F32, longer: float, rng: np.random.Generator) -> F32:
    """Pitch and formants ``longer`` times as high (vocal tract length perturbation, Jaitly and
    Hinton 2013, with the whole axis scaled), spoken faster or slower."""
    source_bins = np.interp(_CENTRES_HZ / longer, _CENTRES_HZ, np.arange(BINS))
    source_rows = np.arange(0, len(mel) - 1e-6, float(np.exp(rng.uniform(-0.16, 0.16))))
    return _between(_between(mel, source_rows).T, source_bins).T


def _between(rows: F32, places: NDArray[np.float64]) -> F32:
    """Rows [N, D] at places between them [K] -> [K, D]."""
    low = np.clip(places.astype(np.int64), 0, len(rows) - 1)
    high = np.minimum(low + 1, len(rows) - 1)
    share = (places - low)[:, None].astype(np.float32)
    out: F32 = rows[low] * (1 - share) + rows[high] * share
    return out


def _echoing(mel: F32, loud: float, kept: float) -> F32:
    """A room: each frame's magnitudes linger, ``kept`` from one to the next."""
    from scipy.signal import lfilter

    lingering = lfilter([0, loud * (1 - kept) * 4], [1, -kept], np.exp(mel), axis=0)
    out: F32 = np.log(np.exp(mel) + lingering)
    return out


def _slant(side: int, rng: np.random.Generator) -> F32:
    """Light from one side [S, S], from dark to bright."""
    angle = rng.uniform(0, 2 * np.pi)
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    across = np.cos(angle) * steps[None] + np.sin(angle) * steps[:, None]
    return np.asarray(1 + rng.uniform(0.1, 0.7) * across, np.float32)
