"""How a head is lit, coloured and filmed: drawn once for a person, once for a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import F32
from face.ramps import smoothstep
from training.data.heads.anatomy import Person
from training.data.heads.mesh import unit
from training.data.heads.skin import Colours, noise

_DARK = np.array([0.075, 0.033, 0.018], np.float32)
_BROWN = np.array([0.30, 0.155, 0.085], np.float32)
_OLIVE = np.array([0.52, 0.32, 0.21], np.float32)
_PALE = np.array([0.68, 0.43, 0.335], np.float32)
_HAIRS = np.array(
    [[0.008, 0.006, 0.005], [0.025, 0.014, 0.008], [0.07, 0.035, 0.016], [0.16, 0.085, 0.035],
     [0.34, 0.21, 0.09], [0.2, 0.06, 0.02], [0.32, 0.31, 0.3]], np.float32
)  # fmt: skip
_IRISES = np.array(
    [[0.045, 0.02, 0.009], [0.1, 0.05, 0.02], [0.13, 0.11, 0.045], [0.11, 0.19, 0.26],
     [0.19, 0.24, 0.26], [0.09, 0.16, 0.1]], np.float32
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Light:
    """From where (unit [3]) and how bright (linear [3])."""

    towards: F32
    colour: F32


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One recording's light, camera and room, the same in every emotion.

    ``ambient`` from above and below [2, 3]; ``distance_cm`` camera to face; ``middle_px`` where
    the face stands beside the picture's middle [2]; ``blur_px``, ``noise`` (of 255), ``quality``
    of the camera; ``room`` [H, W, 3] linear light; ``seed`` of what changes from frame to frame.
    """

    lights: tuple[Light, ...]
    ambient: F32
    distance_cm: float
    px_per_cm: float
    middle_px: F32
    blur_px: float
    noise: float
    quality: int
    room: F32
    seed: int


def colours_of(person: Person, rng: np.random.Generator) -> tuple[Colours, F32]:
    """The colours of somebody, and their irises' [3]."""
    shares = [person.phenotype[name] for name in ("african", "asian", "caucasian")]
    dark = shares[0] + rng.normal(0, 0.08)
    olive = shares[1] * 0.8 + 0.25 * rng.random()
    tone = (1 - np.clip(olive, 0, 1)) * _PALE + np.clip(olive, 0, 1) * _OLIVE
    deep = _BROWN if dark < 0.75 else _BROWN + (min(dark, 1.0) - 0.75) * 4 * (_DARK - _BROWN)
    much = float(smoothstep(0.1, 0.75, np.array([dark], np.float32))[0])
    skin = ((1 - much) * tone + much * deep) * rng.uniform(0.92, 1.06)
    fair = shares[2] > 0.5
    weights = np.array([3, 4, 3, 2, 1.5, 0.8, 0.0]) if fair else np.array([6, 3, 0.3, 0, 0, 0, 0])
    weights[6] = 6 * max(person.age - 0.55, 0)
    hair = _HAIRS[rng.choice(len(_HAIRS), p=weights / weights.sum())] * rng.uniform(0.8, 1.2)
    eyes = np.array([1, 2, 2, 3, 2, 1.5]) if fair else np.array([5, 2, 0.2, 0, 0, 0])
    iris = _IRISES[rng.choice(len(_IRISES), p=eyes / eyes.sum())] * rng.uniform(0.8, 1.2)
    make_up = float(rng.uniform(0, 1)) if person.female else 0.0
    natural = skin * np.array([0.86, 0.52, 0.52], np.float32)
    painted = np.array([0.42, 0.05, 0.06], np.float32) * rng.uniform(0.6, 1.2)
    share = 0.6 * max(make_up - 0.5, 0) * 2
    colours = Colours(
        skin=skin.astype(np.float32),
        lips=((1 - share) * natural + share * painted).astype(np.float32),
        brows=np.minimum(hair * 0.7, skin * 0.35).astype(np.float32),
        hair=hair.astype(np.float32),
        brow_density=float(rng.uniform(0.2, 1.0)) * (0.7 if person.female else 1.0),
        beard=float(rng.choice([0, 0.25, 0.6, 0.85])) if person.phenotype["gender"] < 0.35 else 0.0,
        freckles=float(rng.choice([0, 0, 0, 0.6])) if fair else 0.0,
        hairline_cm=float(rng.uniform(5.2, 6.6) + (0 if person.female else 1.2 * person.age)),
        hair_volume_cm=float(rng.uniform(0.9, 2.2) if person.female else rng.uniform(0.35, 1.5)),
        lashes=float(rng.uniform(0.5, 1.0) if person.female else rng.uniform(0, 0.4)),
        make_up=make_up,
        wear=float(np.clip(0.05 + 0.45 * person.age + rng.normal(0, 0.05), 0, 0.6)),
    )
    return colours, np.asarray(iris, np.float32)


def setting_of(rng: np.random.Generator, size_px: int) -> Setting:
    """Light, camera and room of one recording."""
    warmth = rng.uniform(-1, 1)
    tint = np.array([1 + 0.1 * warmth, 1.0, 1 - 0.12 * warmth], np.float32)
    side = rng.choice([-1, 1])
    key = _light(side * rng.uniform(10, 60), rng.uniform(10, 50), rng.uniform(0.5, 0.95) * tint)
    fill = _light(
        -side * rng.uniform(20, 70), rng.uniform(-10, 30), rng.uniform(0.05, 0.4) * tint[::-1]
    )
    level = rng.uniform(0.3, 0.55)
    ambient = np.stack([level * tint[::-1] ** 0.5, level * rng.uniform(0.5, 0.8) * tint])
    scale = size_px / 320
    return Setting(
        lights=(key, fill),
        ambient=ambient.astype(np.float32),
        distance_cm=float(rng.uniform(45, 110)),
        px_per_cm=float(rng.uniform(9.2, 11.0)) * scale,
        middle_px=(rng.uniform(-8, 8, 2) * scale).astype(np.float32),
        blur_px=float(rng.uniform(0.45, 0.85)) * scale,
        noise=float(rng.uniform(0.5, 3.5)),
        quality=int(rng.integers(70, 97)),
        room=_room(rng, size_px),
        seed=int(rng.integers(1 << 31)),
    )


def _light(around_deg: float, above_deg: float, colour: F32) -> Light:
    a, b = np.radians(around_deg), np.radians(above_deg)
    towards = np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], np.float32)
    return Light(towards=unit(towards), colour=colour.astype(np.float32))


def _room(rng: np.random.Generator, size_px: int) -> F32:
    """Something out of focus behind the head [S, S, 3]."""
    import cv2

    low, high = rng.uniform(0.02, 0.7, (2, 3))
    grey = rng.uniform(0.3, 1.0)
    low, high = (c * (1 - grey) + grey * c.mean() for c in (low, high))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size_px, :size_px] / size_px - 0.5
    ramp = np.clip(0.5 + (np.cos(angle) * x + np.sin(angle) * y), 0, 1)[..., None]
    room = (low * (1 - ramp) + high * ramp).astype(np.float32)
    for _ in range(int(rng.integers(0, 7))):
        corner = rng.uniform(-0.2, 1.0, 2) * size_px
        extent = rng.uniform(0.1, 0.7, 2) * size_px
        colour = rng.uniform(0.02, 0.8, 3)
        ends = (corner + extent).astype(int).tolist()
        cv2.rectangle(room, corner.astype(int).tolist(), ends, colour.tolist(), -1)
    room = cv2.GaussianBlur(room, (0, 0), float(rng.uniform(3, 12)) * size_px / 320)
    room = room * (1 + 0.06 * noise(rng, size_px, size_px, 6)[..., None])
    return np.asarray(np.clip(room, 0, 1), np.float32)
