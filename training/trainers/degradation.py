"""What pictures and voices go through on their way to a network: cameras, codecs, rooms, rates."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from media.mel import RATE_HZ

HARSH: Final = 0.3
"""share of voices that come from far, in noise; the others are clean but for another throat"""


def degraded_picture(picture: U8, rng: np.random.Generator) -> U8:
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


def degraded_voice(sound: F32, rng: np.random.Generator) -> F32:
    """Samples [N] of another throat, rate, microphone and room; their number changes."""
    from scipy.signal import fftconvolve, firwin2

    faster = float(np.exp(rng.uniform(-0.13, 0.13)))
    places = np.arange(0, len(sound) - 1, faster)
    out = np.interp(places, np.arange(len(sound)), sound)
    harsh = rng.random() < HARSH
    gains_db = rng.normal(0, 4, 6) * (1 if harsh else 0.3)
    out = fftconvolve(out, firwin2(65, np.linspace(0, 1, 6), 10 ** (gains_db / 20)), mode="same")
    if harsh and rng.random() < 0.6:
        out = _in_a_room(out, float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.4)), rng)
    loudest = float(np.abs(out).max()) + 1e-6
    out = out / loudest * 10 ** (rng.uniform(-16, -1) / 20)
    if harsh or rng.random() < 0.3:
        level = float(out.std()) * 10 ** (-rng.uniform(8, 40) / 20)
        out = out + level * _noise(len(out), float(rng.uniform(0, 0.95)), rng)
    return np.asarray(np.clip(out, -1, 1), np.float32)


def _in_a_room(
    sound: NDArray[np.float64], loud: float, lasting_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """With an echo that dies away."""
    from scipy.signal import fftconvolve

    echo = rng.normal(0, 1, int(lasting_s * RATE_HZ))
    echo *= np.exp(-5 * np.arange(len(echo)) / len(echo))
    echo *= loud / np.linalg.norm(echo)
    echo[0] = 1
    out: NDArray[np.float64] = fftconvolve(sound, echo)[: len(sound)]
    return out


def _noise(count: int, dull: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Of unit size; the duller, the less of it is high."""
    from scipy.signal import lfilter

    out: NDArray[np.float64] = lfilter([np.sqrt(1 - dull**2)], [1, -dull], rng.normal(0, 1, count))
    return out


def _slant(side: int, rng: np.random.Generator) -> F32:
    """Light from one side [S, S], from dark to bright."""
    angle = rng.uniform(0, 2 * np.pi)
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    across = np.cos(angle) * steps[None] + np.sin(angle) * steps[:, None]
    return np.asarray(1 + rng.uniform(0.1, 0.7) * across, np.float32)
