"""Skin, brows, lips, hair and wrinkles as pictures wrapped around the head.

The wrap is a cylinder: across, 9 cm times the angle around the head's axis; up, cm above the
eyes. On the front of the face both are nearly the x and y of the mean head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.types import F32
from face.ramps import smoothstep
from face.types import BLENDSHAPES

RADIUS_CM: Final = 9.0
PX_PER_CM: Final = 20
ACROSS_CM: Final = 16.0
TOP_CM: Final = 12.5
BOTTOM_CM: Final = -15.5
WIDTH: Final = int(2 * ACROSS_CM * PX_PER_CM)
HEIGHT: Final = int((TOP_CM - BOTTOM_CM) * PX_PER_CM)

_UPPER_LIP: Final = ((-2.35, -7.42), (-1.6, -6.75), (-0.6, -6.22), (0, -6.38))
_LOWER_LIP: Final = ((2.35, -7.45), (1.5, -8.45), (0.7, -8.85), (0, -8.9))
_BROW: Final = ((0.95, 1.05, 0.62), (1.8, 1.5, 0.66), (3.0, 1.85, 0.55), (4.1, 1.75, 0.38),
                (5.0, 1.2, 0.18))  # fmt: skip
_UPPER_LID: Final = ((1.72, -0.35), (2.3, 0.08), (3.0, 0.3), (3.8, 0.22), (4.4, -0.08),
                     (4.7, -0.25))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Linear light, 0..1, red green blue; shares 0..1."""

    skin: F32
    lips: F32
    brows: F32
    hair: F32
    brow_density: float
    beard: float
    freckles: float
    hairline_cm: float
    hair_volume_cm: float
    lashes: float
    make_up: float
    wear: float
    """how much of its wrinkles a face shows at rest"""


def wrap(points: F32) -> F32:
    """Where points [V, 3] of the mean head lie on the cylinder [V, 2]: across and up, cm."""
    angle = np.arctan2(points[:, 0], points[:, 2] + RADIUS_CM)
    return np.asarray(np.stack([RADIUS_CM * angle, points[:, 1]], axis=1), np.float32)


def to_texture(places: F32) -> F32:
    """Places on the cylinder [..., 2] cm in pixels of the pictures [..., 2]."""
    pixels = np.empty_like(places)
    pixels[..., 0] = (places[..., 0] + ACROSS_CM) * PX_PER_CM
    pixels[..., 1] = (TOP_CM - places[..., 1]) * PX_PER_CM
    return pixels


def noise(
    rng: np.random.Generator, height: int, width: int, cells: float, stretch: float = 1
) -> F32:
    """Smooth noise [H, W] of mean 0 and deviation about 1; ``cells`` across the longer side."""
    import cv2

    longer = max(height, width)
    rows = max(2, round(cells * height / longer / stretch))
    columns = max(2, round(cells * width / longer))
    small = rng.standard_normal((rows, columns)).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32) / max(float(large.std()), 1e-6)


def hair_share(places: F32, hairline_cm: float) -> F32:
    """How hairy a place on the cylinder [..., 2] is, 0..1."""
    across, up = np.abs(places[..., 0]), places[..., 1]
    line = np.interp(
        across,
        (0, 2.5, 4.5, 6.0, 7.2, 8.2, 9.2, 11.5, 12.5, 16.0),
        (0, -0.1, -0.6, -2.2, -4.5, -7.0, -7.6, -6.5, -9.0, -12.0),
    ).astype(np.float32)
    return smoothstep(-0.25, 0.35, up - (hairline_cm + line))


def albedo(rng: np.random.Generator, colours: Colours) -> F32:
    """Colour and gloss [H, W, 4] in linear light, drawn for one person."""
    import cv2

    across, up = _grid()
    places = np.stack([across, up], axis=-1)
    mottled = (
        0.035 * noise(rng, HEIGHT, WIDTH, 14)
        + 0.018 * noise(rng, HEIGHT, WIDTH, 60)
        + 0.03 * noise(rng, HEIGHT, WIDTH, 260)
    )
    skin = colours.skin * (1 + mottled[..., None])
    ruddy = np.zeros_like(up)
    for x, y, wide, high, much in (
        (3.6, -3.0, 1.9, 1.5, 0.22), (-3.6, -3.0, 1.9, 1.5, 0.22), (0, -3.9, 1.2, 1.0, 0.25),
        (0, -10.0, 1.6, 1.0, 0.12), (13.5, -1.5, 2.0, 3.0, 0.2), (-13.5, -1.5, 2.0, 3.0, 0.2),
    ):  # fmt: skip
        ruddy += much * np.exp(-(((across - x) / wide) ** 2) - ((up - y) / high) ** 2)
    skin *= 1 - ruddy[..., None] * np.array([0.05, 0.55, 0.5], np.float32)
    for side in (-1, 1):  # the thin skin around the eyes is darker
        around = ((across - side * 3.15) / 1.9) ** 2 + ((up + 0.1) / 1.15) ** 2
        dark = (0.16 + 0.25 * colours.make_up) * np.exp(-(around**1.5))
        skin *= 1 - dark[..., None] * np.array([0.8, 1.0, 0.9], np.float32)
    if colours.freckles > 0:
        spots = noise(rng, HEIGHT, WIDTH, 150) * np.exp(
            -((across / 6) ** 2) - ((up + 2.5) / 3) ** 2
        )
        skin *= 1 - 0.5 * colours.freckles * smoothstep(0.9, 1.6, spots)[..., None]
    if colours.beard > 0:
        area = smoothstep(0.6, 1.6, np.abs(across) * 0.35 - up - 5.2)
        area *= smoothstep(-13.0, -11.5, up) * smoothstep(9.5, 7.0, np.abs(across))
        speckled = np.clip(0.75 + 0.18 * noise(rng, HEIGHT, WIDTH, 330), 0, 1)
        share = (colours.beard * area * speckled)[..., None]
        skin = skin * (1 - share) + share * (0.25 * colours.skin + 0.75 * colours.hair)
    lips = _polygon(_lip_outline(), 1.6)
    creases = 1 + 0.10 * noise(rng, HEIGHT, WIDTH, 420, stretch=0.12)
    lip_colour = colours.lips * creases[..., None]
    skin = skin * (1 - lips[..., None]) + lip_colour * lips[..., None]
    gloss = 0.55 + 0.25 * np.exp(-((across / 2.5) ** 2) - ((up - 0) / 5) ** 2) + 0.6 * lips
    for points, side in ((_BROW, 1), (_BROW, -1)):
        hairs = _brow(rng, points, side, colours.brow_density)
        skin = skin * (1 - hairs[..., None]) + colours.brows * hairs[..., None]
    lashes = np.zeros((HEIGHT, WIDTH), np.float32)
    for side in (-1, 1):
        line = np.array([(side * x, y) for x, y in _UPPER_LID], np.float32)
        _stroke(lashes, line, 2 + round(2 * colours.lashes))
        lower = line * [1, -0.6] + [0, -0.62]
        _stroke(lashes, lower.astype(np.float32), 1, 0.35)
    lashes = cv2.GaussianBlur(lashes, (0, 0), 0.8) * (0.75 + 0.25 * colours.lashes)
    skin = skin * (1 - lashes[..., None]) + 0.012 * lashes[..., None]
    ragged = 0.1 * noise(rng, HEIGHT, WIDTH, 150, stretch=4) + 0.1 * noise(rng, HEIGHT, WIDTH, 20)
    hairy = hair_share(places + np.stack([0 * ragged, ragged], axis=-1), colours.hairline_cm)
    strands = 1 + 0.32 * noise(rng, HEIGHT, WIDTH, 300, stretch=9)
    strands = strands + 0.15 * noise(rng, HEIGHT, WIDTH, 40, stretch=3)
    hair = colours.hair * np.clip(strands, 0.25, 2.2)[..., None]
    skin = skin * (1 - hairy[..., None]) + hair * hairy[..., None]
    gloss = gloss * (1 - 0.6 * hairy)
    return np.asarray(np.clip(np.dstack([skin, gloss]), 0, 1), np.float32)


def relief(rng: np.random.Generator) -> F32:
    """Slopes [H, W, 4]: two of pores (across, up) and two of the wrinkles of a full expression."""
    import cv2

    pores = 0.002 * noise(rng, HEIGHT, WIDTH, 320) + 0.003 * noise(rng, HEIGHT, WIDTH, 110)
    lines = np.zeros((HEIGHT, WIDTH), np.float32)

    def crease(points: list[tuple[float, float]], width_px: int, depth: float) -> None:
        wiggly = np.array(points, np.float32) + rng.normal(0, 0.05, (len(points), 2))
        layer = np.zeros_like(lines)
        _stroke(layer, _curve(wiggly.astype(np.float32)), width_px)
        soft = cv2.GaussianBlur(layer, (0, 0), 1.0 + 0.75 * width_px)
        np.maximum(lines, soft / max(float(soft.max()), 1e-6) * depth, out=lines)

    for up in (2.7, 3.5, 4.3, 5.1):  # the forehead's
        wide = rng.uniform(3.2, 4.2)
        bow = rng.uniform(-0.1, 0.25)
        crease([(x * wide, up - bow * x * x) for x in np.linspace(-1, 1, 9)], 2, 0.05)
    for side in (-1, 1):
        crease([(side * 0.45, 0.5), (side * 0.55, 1.3), (side * 0.7, 2.1)], 2, 0.055)
        for start, end in ((0.35, 1.0), (-0.1, 0.1), (-0.5, -0.9)):  # crow's feet
            crease(
                [(side * 5.1, start), (side * 5.8, (start + end) / 2), (side * 6.5, end)], 1, 0.03
            )
        crease(  # from the nose's wing around the mouth
            [(side * 1.75, -4.2), (side * 2.45, -5.3), (side * 3.0, -6.5), (side * 3.15, -7.7)],
            4, 0.085,
        )  # fmt: skip
        for up in (-0.7, -1.2):  # bunny lines
            crease([(side * 0.6, up + 0.35), (side * 1.2, up), (side * 1.5, up - 0.5)], 1, 0.035)
        crease([(side * 1.7, -1.0), (side * 2.7, -1.45), (side * 4.0, -1.25)], 3, 0.04)
    chin = noise(rng, HEIGHT, WIDTH, 55)
    across, up_cm = _grid()
    lines += 0.02 * chin * np.exp(-((across / 1.3) ** 2) - ((up_cm + 10.2) / 0.7) ** 2)
    slopes = [_slopes(pores), _slopes(-lines)]
    return np.asarray(np.concatenate(slopes, axis=-1), np.float32)


# Where wrinkles show (across, up, half width, half height in cm) and the shapes that bring them.
_REGIONS: Final = (
    ((0.0, 3.9, 4.2, 1.5), {"browInnerUp": 0.8, "browOuterUpLeft": 0.3, "browOuterUpRight": 0.3}),
    ((0.0, 1.3, 1.0, 1.0), {"browDownLeft": 0.6, "browDownRight": 0.6, "browInnerUp": 0.15}),
    ((6.0, 0.1, 1.3, 1.3), {"cheekSquintLeft": 0.6, "eyeSquintLeft": 0.5, "mouthSmileLeft": 0.2}),
    ((-6.0, 0.1, 1.3, 1.3),
     {"cheekSquintRight": 0.6, "eyeSquintRight": 0.5, "mouthSmileRight": 0.2}),
    ((2.6, -6.0, 1.5, 2.0),
     {"mouthSmileLeft": 0.8, "noseSneerLeft": 0.4, "mouthUpperUpLeft": 0.4,
      "mouthDimpleLeft": 0.3, "mouthStretchLeft": 0.3}),
    ((-2.6, -6.0, 1.5, 2.0),
     {"mouthSmileRight": 0.8, "noseSneerRight": 0.4, "mouthUpperUpRight": 0.4,
      "mouthDimpleRight": 0.3, "mouthStretchRight": 0.3}),
    ((1.1, -0.9, 0.8, 0.9), {"noseSneerLeft": 1.0}),
    ((-1.1, -0.9, 0.8, 0.9), {"noseSneerRight": 1.0}),
    ((2.8, -1.4, 1.4, 0.6), {"cheekSquintLeft": 0.7, "eyeSquintLeft": 0.4}),
    ((-2.8, -1.4, 1.4, 0.6), {"cheekSquintRight": 0.7, "eyeSquintRight": 0.4}),
    ((0.0, -10.2, 1.6, 1.0), {"mouthShrugLower": 1.0, "mouthFrownLeft": 0.2,
                              "mouthFrownRight": 0.2}),
)  # fmt: skip


def wrinkle_map(places: F32) -> F32:
    """How much wrinkling each unit of blendshape brings to points on the cylinder [V, 52]."""
    out = np.zeros((len(places), len(BLENDSHAPES)), np.float32)
    for (across, up, wide, high), shapes in _REGIONS:
        squares = ((places[:, 0] - across) / wide) ** 2 + ((places[:, 1] - up) / high) ** 2
        near = smoothstep(1.9, 0.6, squares)
        for name, share in shapes.items():
            out[:, BLENDSHAPES.index(name)] += share * near
    return out


def _grid() -> tuple[F32, F32]:
    across = (np.arange(WIDTH, dtype=np.float32) + 0.5) / PX_PER_CM - ACROSS_CM
    up = TOP_CM - (np.arange(HEIGHT, dtype=np.float32) + 0.5) / PX_PER_CM
    x, y = np.meshgrid(across, up)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _lip_outline() -> F32:
    upper = list(_UPPER_LIP) + [(-x, y) for x, y in _UPPER_LIP[-2::-1]]
    lower = list(_LOWER_LIP) + [(-x, y) for x, y in _LOWER_LIP[-2::-1]]
    top, bottom = _curve(np.array(upper, np.float32)), _curve(np.array(lower, np.float32))
    return np.concatenate([top, bottom])


def _polygon(outline: F32, soft_px: float) -> F32:
    import cv2

    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(layer, [np.rint(to_texture(outline) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), soft_px), np.float32)


def _stroke(layer: F32, line: F32, width_px: int, value: float = 1.0) -> None:
    import cv2

    points = np.rint(to_texture(line) * 16).astype(np.int32)
    cv2.polylines(layer, [points], False, value, width_px, cv2.LINE_8, 4)


def _curve(points: F32, steps: int = 40) -> F32:
    """A smooth line [40, 2] through points [N, 2] (Catmull and Rom 1974)."""
    ends = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    at = np.linspace(0, len(points) - 1 - 1e-6, steps)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = ends[i], ends[i + 1], ends[i + 2], ends[i + 3]
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
    return np.asarray((curve + (3 * b - a - 3 * c + d) * t**3) / 2, np.float32)


def _brow(
    rng: np.random.Generator,
    points: tuple[tuple[float, float, float], ...],
    side: int,
    dense: float,
) -> F32:
    """Single hairs along a line; how much of each pixel they cover [H, W]."""
    import cv2

    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    knots = np.array(points, np.float32)
    at = np.linspace(0, 1, len(knots))
    for _ in range(int(260 + 340 * dense)):
        where = float(rng.uniform())
        x, y, high = (float(np.interp(where, at, knots[:, i])) for i in range(3))
        y += high * float(rng.uniform(-0.5, 0.5))
        length = float(rng.uniform(0.3, 0.6))
        lean = np.radians(70 - 75 * where + rng.normal(0, 12))
        line = np.array([[x, y], [x + length * np.cos(lean), y + length * 0.6 * np.sin(lean)]])
        _stroke(layer, (line * [side, 1]).astype(np.float32), 1, float(rng.uniform(0.6, 1.0)))
    soft = cv2.GaussianBlur(layer, (0, 0), 0.9) * (0.75 + 0.35 * dense)
    return np.clip(np.asarray(soft, np.float32), 0, 0.95)


def _slopes(heights: F32) -> F32:
    """Rise per cm across and up [H, W, 2] of heights [H, W] in cm."""
    down, across = np.gradient(heights)
    return np.stack([across, -down], axis=-1).astype(np.float32) * PX_PER_CM
