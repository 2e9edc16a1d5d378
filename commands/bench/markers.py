"""Marks that survive a codec: a number along the top of a picture, a coded chirp per second."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

NUMBER_BITS = 12
CHECK_BITS = 4
CELLS = 2 + NUMBER_BITS + CHECK_BITS + 2  # bright, dark, number, check, dark, bright
STRIP_SHARE = 1 / 20  # of the picture's height
DARK, BRIGHT = 40, 216  # luma; within video range, and away from its ends
LEAST_CONTRAST = 60.0

RATE_HZ = 48_000
CODES = 10
CHIRP_S = 0.030
CHIRP_AMPLITUDE = 0.4
LEAST_SCORE = 0.5  # normalized correlation below which a sound is not a marker


def strip_height_px(height_px: int) -> int:
    """The height of the strip: even, so that chroma rows divide."""
    return max(4, int(height_px * STRIP_SHARE) // 2 * 2)


def cells_of(number: int) -> list[int]:
    """The strip's cells, 0 or 1, for a frame number. Gray-coded: neighbours differ in few cells."""
    if not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"frame number {number} does not fit {NUMBER_BITS} bits")
    gray = number ^ (number >> 1)
    bits = [(gray >> shift) & 1 for shift in range(NUMBER_BITS - 1, -1, -1)]
    check = _crc4(gray)
    bits += [(check >> shift) & 1 for shift in range(CHECK_BITS - 1, -1, -1)]
    return [1, 0, *bits, 0, 1]


def draw_number(luma_HW: NDArray[np.uint8], number: int) -> None:
    """Draw the strip into a luma plane (or any single channel), uint8 [H, W], in place."""
    height, width = luma_HW.shape[:2]
    rows = strip_height_px(height)
    for cell, bit in enumerate(cells_of(number)):
        left, right = cell * width // CELLS, (cell + 1) * width // CELLS
        luma_HW[:rows, left:right] = BRIGHT if bit else DARK


def cell_means(luma_HW: NDArray[np.uint8]) -> list[float]:
    """The mean of every cell's core, as the page measures it."""
    height, width = luma_HW.shape[:2]
    rows = strip_height_px(height)
    core = luma_HW[rows // 3 : rows - rows // 3]
    means = []
    for cell in range(CELLS):
        left, right = cell * width / CELLS, (cell + 1) * width / CELLS
        quarter = (right - left) / 4
        means.append(float(core[:, int(left + quarter) : int(right - quarter)].mean()))
    return means


def read_number(means: list[float]) -> int | None:
    """The frame number of a strip's cell means; None where it can't be trusted."""
    if len(means) != CELLS:
        return None
    bright = (means[0] + means[-1]) / 2
    dark = (means[1] + means[-2]) / 2
    if bright - dark < LEAST_CONTRAST or min(means[0], means[-1]) < max(means[1], means[-2]):
        return None
    threshold = (bright + dark) / 2
    bits = [int(mean > threshold) for mean in means[2:-2]]
    gray = functools.reduce(lambda value, bit: value << 1 | bit, bits[:NUMBER_BITS], 0)
    check = functools.reduce(lambda value, bit: value << 1 | bit, bits[NUMBER_BITS:], 0)
    if check != _crc4(gray):
        return None
    number = gray
    for shift in (1, 2, 4, 8):
        number ^= number >> shift
    return number


def _crc4(value: int) -> int:
    """CRC-4 (x^4 + x + 1) of a number's bits, started at all ones so that zero has a mark too."""
    crc = 0xF
    for shift in range(NUMBER_BITS - 1, -1, -1):
        top = (crc >> 3 ^ value >> shift) & 1
        crc = (crc << 1 & 0xF) ^ (0b0011 if top else 0)
    return crc


@functools.cache
def chirp(code: int) -> F64:
    """Marker sound ``code``, float64 [N] in -1..1: one of five bands, swept up or down."""
    if not 0 <= code < CODES:
        raise ValueError(f"marker code {code} is not in 0..{CODES - 1}")
    centre_hz = 1500.0 + 1000.0 * (code // 2)
    sweep_hz = 800.0 if code % 2 == 0 else -800.0
    count = int(CHIRP_S * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    phase = 2 * np.pi * ((centre_hz - sweep_hz / 2) * time_s + sweep_hz / (2 * CHIRP_S) * time_s**2)
    samples: F64 = np.sin(phase) * np.hanning(count)
    samples.flags.writeable = False
    return samples


@dataclass(frozen=True, slots=True)
class Heard:
    """A marker in sound: which, where its first sample lies (fractional), how surely (0..1)."""

    code: int
    start: float
    score: float


def find_chirp(samples: NDArray[np.floating]) -> Heard | None:
    """The best marker in a short stretch of sound at RATE_HZ, by normalized matched filter."""
    length = int(CHIRP_S * RATE_HZ)
    sound = np.asarray(samples, np.float64)
    if sound.size < length:
        return None
    size = 1 << (sound.size + length - 1).bit_length()
    spectrum = np.fft.rfft(sound, size)
    energy = np.concatenate(([0.0], np.cumsum(sound**2)))
    window_energy = energy[length:] - energy[:-length]
    best: Heard | None = None
    for code in range(CODES):
        template, template_energy = _template_spectrum(code, size)
        # The analytic signal's magnitude: codecs turn the phase, the envelope stays.
        correlation = np.abs(np.fft.ifft(_analytic(spectrum * template, size)))
        lags = correlation[: sound.size - length + 1]
        floor = 1e-6 * length
        scores = lags / np.sqrt(template_energy * np.maximum(window_energy, floor))
        peak = int(np.argmax(lags))
        score = float(min(1.0, scores[peak]))
        if score >= LEAST_SCORE and (best is None or score > best.score):
            best = Heard(code, peak + _vertex(lags, peak), score)
    return best


@functools.lru_cache(maxsize=64)
def _template_spectrum(code: int, size: int) -> tuple[NDArray[np.complex128], float]:
    template = chirp(code)
    return np.conj(np.fft.rfft(template, size)), float(np.sum(template**2))


def _analytic(spectrum: NDArray[np.complex128], size: int) -> NDArray[np.complex128]:
    full = np.zeros(size, np.complex128)
    full[: spectrum.size] = spectrum
    full[1 : spectrum.size - 1] *= 2
    return full


def _vertex(values: F64, peak: int) -> float:
    """Where between samples the parabola through a peak and its neighbours is highest."""
    if not 0 < peak < values.size - 1:
        return 0.0
    left, middle, right = values[peak - 1 : peak + 2]
    bend = left - 2 * middle + right
    return 0.0 if bend == 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
