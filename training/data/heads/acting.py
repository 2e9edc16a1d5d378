"""What a head does: speech to mouth shapes, blinks, looks and turns; and the feeling upon it.

A script is drawn once for a head and a sentence and is the same in every emotion; a feeling adds
its prototype times an intensity that rises, holds and falls. The rig of two emotions of one script
differs in the feeling alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.emotions import ANGLES_DEG, FEELING, prototype, sides
from face.types import BLENDSHAPES
from training.data.clip import FPS, Phone

LEVELS: Final = (0.4, 0.7, 1.0)
"""intensity at the height of levels 1, 2 and 3"""
_TRACK_HZ: Final = 200
_AHEAD_S: Final = 0.035
"""by how much the mouth leads the sound (coarticulation)"""

# Shapes of a phone; two rows where it glides. Lips that meet: see _CLOSED.
_MOUTHS: Final[dict[str, tuple[dict[str, float], ...]]] = {
    "SIL": ({},),
    "P": ({"jawOpen": 0.03, "mouthRollLower": 0.2, "mouthRollUpper": 0.15},),
    "F": ({"jawOpen": 0.06, "mouthRollLower": 0.55},),
    "TH": ({"jawOpen": 0.12, "mouthLowerDown": 0.2},),
    "T": ({"jawOpen": 0.08, "mouthLowerDown": 0.18},),
    "SH": ({"jawOpen": 0.09, "mouthFunnel": 0.5, "mouthPucker": 0.15},),
    "K": ({"jawOpen": 0.15, "mouthLowerDown": 0.1},),
    "R": ({"jawOpen": 0.10, "mouthFunnel": 0.32, "mouthPucker": 0.15},),
    "W": ({"jawOpen": 0.06, "mouthPucker": 0.7, "mouthFunnel": 0.15},),
    "Y": ({"jawOpen": 0.08, "mouthLowerDown": 0.2},),
    "AA": ({"jawOpen": 0.46, "mouthLowerDown": 0.25},),
    "AE": ({"jawOpen": 0.40, "mouthLowerDown": 0.35},),
    "AH": ({"jawOpen": 0.26, "mouthLowerDown": 0.2},),
    "AO": ({"jawOpen": 0.36, "mouthFunnel": 0.35, "mouthLowerDown": 0.1},),
    "EH": ({"jawOpen": 0.28, "mouthLowerDown": 0.3},),
    "ER": ({"jawOpen": 0.17, "mouthFunnel": 0.3, "mouthPucker": 0.1},),
    "IH": ({"jawOpen": 0.17, "mouthLowerDown": 0.25},),
    "IY": ({"jawOpen": 0.11, "mouthLowerDown": 0.3},),
    "UH": ({"jawOpen": 0.17, "mouthFunnel": 0.4, "mouthPucker": 0.1},),
    "UW": ({"jawOpen": 0.10, "mouthPucker": 0.7, "mouthFunnel": 0.2},),
}  # fmt: skip
_LIKE: Final = {
    "B": "P", "M": "P", "V": "F", "DH": "TH", "D": "T", "N": "T", "L": "T", "S": "T", "Z": "T",
    "ZH": "SH", "CH": "SH", "JH": "SH", "G": "K", "NG": "K", "HH": "K",
}  # fmt: skip
_GLIDES: Final = {
    "AY": ("AA", "IY"), "EY": ("EH", "IY"), "OY": ("AO", "IY"), "AW": ("AA", "UW"),
    "OW": ("AO", "UW"),
}  # fmt: skip
_CLOSED: Final = {"P": 1.0, "F": 0.6}


@dataclass(frozen=True, kw_only=True, eq=False)
class Script:
    """What is the same in every emotion, T frames: ``speech`` [T, 52] shapes without feeling
    (mouth, blinks, looks, the face's own rest); ``closed`` [T] how much the lips must meet;
    ``blink`` [T]; ``turn`` [T, 3, 3] and ``shift`` [T, 3] cm of the head."""

    speech: F32
    closed: F32
    blink: F32
    turn: F32
    shift: F32


@dataclass(frozen=True, kw_only=True, eq=False)
class Performance:
    """A script with a feeling: the truth of a clip. ``rig`` [T, 52]; the others [T]."""

    rig: F32
    valence: F32
    arousal: F32
    intensity: F32


@dataclass(frozen=True, kw_only=True, eq=False)
class Style:
    """How somebody's face works: ``rest`` [52] what it shows when calm, ``gain`` [52] how much it
    makes of a feeling, shape by shape."""

    rest: F32
    gain: F32


def style_of(rng: np.random.Generator) -> Style:
    """A face's own rest and expressiveness, nearly the same on both sides."""
    gain = _even(rng.uniform(0.85, 1.12, len(BLENDSHAPES)))
    rest = np.where(FEELING, _even(rng.uniform(0, 0.06, len(BLENDSHAPES))), 0)
    rest[sides("eyeWide")] = 0
    return Style(rest=rest.astype(np.float32), gain=gain.astype(np.float32))


def mouth(phones: Sequence[Phone], frames: int) -> tuple[F32, F32]:
    """Mouth shapes [T, 52] and lip closure [T] of phones, 25 a second."""
    steps = int(frames / FPS * _TRACK_HZ) + 1
    shapes = np.zeros((steps, len(BLENDSHAPES)), np.float32)
    closed = np.zeros(steps, np.float32)
    for phone in phones:
        names = _GLIDES.get(phone.name) or (_LIKE.get(phone.name, phone.name),)
        length = (phone.end_s - phone.start_s) / len(names)
        for part, name in enumerate(names):
            start = phone.start_s + part * length - _AHEAD_S
            first, last = (int(max(t, 0) * _TRACK_HZ) for t in (start, start + length))
            for row in _MOUTHS.get(name, ({},)):
                for shape, value in row.items():
                    for index in sides(shape):
                        shapes[first:last, index] = value
            closed[first:last] = np.maximum(closed[first:last], _CLOSED.get(name, 0.0))
    shapes = _smooth(shapes, 0.045)
    closed = np.minimum(_smooth(closed[:, None], 0.018)[:, 0] * 1.25, 1)
    open_mouth = [BLENDSHAPES.index("jawOpen"), *sides("mouthLowerDown")]
    shapes[:, open_mouth] *= (1 - 0.9 * closed)[:, None]
    at = np.minimum(np.arange(frames) * _TRACK_HZ // FPS, steps - 1)
    return shapes[at], closed[at]


def script_of(
    phones: Sequence[Phone], frames: int, style: Style, rng: np.random.Generator
) -> Script:
    """The part of a head that speaks a sentence."""
    speech, closed = mouth(phones, frames)
    speech = speech + style.rest
    blink = np.zeros(frames, np.float32)
    at = float(rng.uniform(0.1, 1.6)) * FPS
    while at < frames - 3:
        away = (np.arange(frames) - at) / np.where(np.arange(frames) < at, 2.0, 3.6)
        blink = np.maximum(blink, np.exp(-(away**2) * 1.6)).astype(np.float32)
        at += float(rng.uniform(1.6, 4.5)) * FPS
    blink[blink < 0.04] = 0
    speech[:, sides("eyeBlink")] = blink[:, None]
    base = rng.normal(0, [4.5, 7.0, 2.5])  # nod, turn, tilt; degrees
    moving = np.stack([_drift(rng, frames, 0.9) for _ in range(6)], axis=1)
    angles = np.radians(np.clip(base, -14, 14) + moving[:, :3] * [2.2, 3.0, 1.6])
    turn = np.stack([_turn(*row) for row in angles]).astype(np.float32)
    shift = (moving[:, 3:] * [0.25, 0.15, 0.3]).astype(np.float32)
    # The eyes stay with the camera while the head turns, and jump a little of their own.
    jumps = np.zeros((frames, 2))
    place = rng.normal(0, 0.06, 2)
    for t in range(frames):
        if rng.random() < 0.05:
            place = rng.normal(0, 0.09, 2)
        jumps[t] = place
    aside = np.clip(jumps[:, 0] - 0.7 * angles[:, 1] / np.radians(28), -0.8, 0.8)
    upwards = np.clip(jumps[:, 1] + 0.7 * angles[:, 0] / np.radians(28), -0.8, 0.8)
    for shape, value in (
        ("eyeLookOutLeft", aside), ("eyeLookInRight", aside), ("eyeLookInLeft", -aside),
        ("eyeLookOutRight", -aside), ("eyeLookUpLeft", upwards), ("eyeLookUpRight", upwards),
        ("eyeLookDownLeft", -upwards), ("eyeLookDownRight", -upwards),
    ):  # fmt: skip
        speech[:, BLENDSHAPES.index(shape)] = np.maximum(value, 0)
    return Script(
        speech=np.clip(speech, 0, 1).astype(np.float32),
        closed=closed,
        blink=blink,
        turn=turn,
        shift=shift,
    )


def perform(
    script: Script, emotion: str, level: int, style: Style, rng: np.random.Generator
) -> Performance:
    """The script with a feeling of ``level`` 1..3; neutral has none."""
    frames = len(script.speech)
    if emotion == "neutral":
        calm = np.zeros(frames, np.float32)
        return Performance(rig=script.speech, valence=calm, arousal=calm, intensity=calm)
    t = np.arange(frames) / max(frames - 1, 1)
    start, rise = rng.uniform(0.0, 0.15), rng.uniform(0.15, 0.35)
    leave, left = rng.uniform(0.7, 0.9), rng.uniform(0.15, 0.6)
    swell = _ease((t - start) / rise) * (1 - (1 - left) * _ease((t - leave) / (1 - leave)))
    swell = swell * np.clip(1 + 0.07 * _drift(rng, frames, 0.5), 0.8, 1.1)
    intensity = np.clip(LEVELS[level - 1] * swell, 0, 1).astype(np.float32)
    feeling = intensity[:, None] * np.minimum(prototype(emotion) * style.gain, 1)
    wide, lifted = sides("eyeWide"), [*sides("mouthUpperUp"), *sides("mouthStretch")]
    feeling[:, wide] *= (1 - script.blink)[:, None]
    feeling[:, lifted] *= (1 - 0.75 * script.closed)[:, None]
    angle = np.radians(ANGLES_DEG[emotion])
    return Performance(
        rig=np.clip(script.speech + feeling, 0, 1).astype(np.float32),
        valence=(intensity * np.cos(angle)).astype(np.float32),
        arousal=(intensity * np.sin(angle)).astype(np.float32),
        intensity=intensity,
    )


def _even(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The right side a little unlike the left."""
    out = values.copy()
    for index, name in enumerate(BLENDSHAPES):
        if name.endswith("Right"):
            left = BLENDSHAPES.index(name.removesuffix("Right") + "Left")
            out[index] = 0.75 * values[left] + 0.25 * values[index]
    return out


def _smooth(track: F32, deviation_s: float) -> F32:
    """A track [N, C] at 200 Hz under a bell curve."""
    reach = int(3 * deviation_s * _TRACK_HZ)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (deviation_s * _TRACK_HZ)) ** 2)
    bell /= bell.sum()
    padded = np.pad(track, ((reach, reach), (0, 0)), mode="edge")
    out = sum(weight * padded[i : i + len(track)] for i, weight in enumerate(bell))
    return np.asarray(out, np.float32)


def _drift(rng: np.random.Generator, frames: int, period_s: float) -> NDArray[np.float64]:
    """A slow wander [T] of deviation about 1."""
    knots = rng.standard_normal(int(frames / FPS / period_s) + 4)
    at = np.arange(frames) / FPS / period_s + 1
    i, part = at.astype(int), at % 1
    eased = (1 - np.cos(np.pi * part)) / 2
    wander: NDArray[np.float64] = knots[i] * (1 - eased) + knots[i + 1] * eased
    return wander


def _ease(t: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(t, 0, 1)
    eased: NDArray[np.float64] = clipped * clipped * (3 - 2 * clipped)
    return eased


def _turn(nod: float, aside: float, tilt: float) -> NDArray[np.float64]:
    """A turn [3, 3]: ``nod`` down, ``aside`` to the image's right, ``tilt``; radians."""
    cx, sx, cy, sy = np.cos(nod), np.sin(nod), np.cos(aside), np.sin(aside)
    cz, sz = np.cos(tilt), np.sin(tilt)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    out: NDArray[np.float64] = about_y @ about_x @ about_z
    return out
