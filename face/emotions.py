"""Emotions in blendshapes: prototypes of the eight, and points between them.

The prototypes follow the action units of Ekman and Friesen's EMFACS (FACS Investigator's Guide,
2002, table 10-2) and Du, Tao and Martinez, "Compound facial expressions of emotion" (PNAS 2014,
table 1); contempt follows Matsumoto and Ekman (2004). Units that speech needs (jaw, lip closure)
are left to the person who speaks; a target expression may drop the jaw of who doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.types import BLENDSHAPES, EMOTIONS

FEELING_PREFIXES: Final = (
    "brow", "eyeSquint", "eyeWide", "cheek", "noseSneer", "mouthSmile", "mouthFrown",
    "mouthUpperUp", "mouthDimple", "mouthStretch", "mouthPress", "mouthShrug",
)  # fmt: skip
FEELING: Final[NDArray[np.bool_]] = np.array(
    [name.startswith(FEELING_PREFIXES) for name in BLENDSHAPES]
)
"""[52]: which shapes show a feeling; the others speak, look and blink."""


def _partner(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


MIRROR: Final[NDArray[np.int64]] = np.array([BLENDSHAPES.index(_partner(n)) for n in BLENDSHAPES])
"""[52]: for each shape that of the other side"""

Row = Mapping[str, float | tuple[float, float]]
"""Shapes by name without side: both sides, or a pair (left, right) where the sides differ."""

_PROTOTYPES: Final[dict[str, Row]] = {
    "neutral": {},
    # AU 4, 5, 7, 23/24
    "angry": {"browDown": 1.0, "eyeSquint": 0.45, "mouthPress": 0.5, "noseSneer": 0.35,
              "mouthFrown": 0.25, "mouthShrugUpper": 0.2},
    # AU R12A + R14A, one-sided
    "contempt": {"mouthSmile": (0.75, 0.0), "mouthDimple": (0.8, 0.0), "mouthPress": (0.5, 0.0),
                 "eyeSquint": (0.25, 0.15), "browOuterUp": (0.0, 0.3)},
    # AU 9, 10, 17
    "disgusted": {"noseSneer": 0.9, "mouthUpperUp": 0.75, "browDown": 0.65, "eyeSquint": 0.5,
                  "cheekSquint": 0.4, "mouthShrugUpper": 0.35, "mouthFrown": 0.3},
    # AU 1, 2, 4, 5, 20
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.35, "eyeWide": 0.55, "mouthStretch": 0.75,
             "mouthFrown": 0.15},
    # AU 6, 12
    "happy": {"mouthSmile": 0.95, "cheekSquint": 0.6, "eyeSquint": 0.45, "mouthDimple": 0.15,
              "mouthUpperUp": 0.2},
    # AU 1, 4, 15, 17
    "sad": {"browInnerUp": 0.95, "mouthFrown": 0.8, "mouthShrugLower": 0.4, "eyeSquint": 0.2,
            "mouthShrugUpper": 0.15},
    # AU 1, 2, 5
    "surprised": {"browInnerUp": 0.75, "browOuterUp": 0.75, "eyeWide": 0.55},
}  # fmt: skip

_IN_SPEECH: Final[dict[str, Row]] = {
    # AU 4 without the glare of AU 5 and the pressed lips of AU 23, which speech doesn't leave
    # alone, looks tired; the raised upper lip of AU 10 and slanted brows look angry.
    "angry": {"browDown": 1.0, "browOuterUp": 0.5, "eyeSquint": 0.35, "noseSneer": 0.6,
              "mouthUpperUp": 0.6, "mouthStretch": 0.3, "mouthFrown": 0.2},
    # AU 25 and 26 part the lips of who doesn't speak.
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.35, "eyeWide": 0.55, "mouthStretch": 0.75,
             "mouthFrown": 0.15, "jawOpen": 0.3},
    "surprised": {"browInnerUp": 0.75, "browOuterUp": 0.75, "eyeWide": 0.55, "jawOpen": 0.6},
}  # fmt: skip

# Angle on the circumplex, from pleasant (0) over aroused (90): Russell 1980, figure 2,
# and Russell and Mehrabian 1977 for contempt, which lies beside disgust.
ANGLES_DEG: Final = {
    "happy": 20.0,
    "surprised": 75.0,
    "fear": 110.0,
    "angry": 135.0,
    "disgusted": 165.0,
    "contempt": 180.0,
    "sad": 208.0,
}
_WIDTH_DEG: Final = 22.0
_CALM_DEG: Final = 300.0  # content, at ease: no emotion of the eight lies here


def sides(name: str) -> list[int]:
    """Where a shape, named without its side, stands in BLENDSHAPES: left and right, or once."""
    if name in BLENDSHAPES:
        return [BLENDSHAPES.index(name)]
    return [BLENDSHAPES.index(f"{name}{side}") for side in ("Left", "Right")]


def shapes_of(row: Row) -> F32:
    """A row as shapes [52]."""
    shapes = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in row.items():
        shapes[sides(name)] = value
    return shapes


def prototype(emotion: str) -> F32:
    """What an emotion at full intensity adds to a neutral face [52]."""
    return shapes_of(_PROTOTYPES[emotion])


def emotion_shapes(emotion: str) -> F32:
    """What an edit asks for [52] so that an emotion is read in a face that goes on speaking: the
    prototype, but where it needs the mouth to itself."""
    return shapes_of(_IN_SPEECH.get(emotion, _PROTOTYPES[emotion]))


def expression_of(probabilities: F32) -> F32:
    """The expression [8] that follows what is likely to be felt; neutral has no weight.

    Squares of the probabilities weigh, so that it is the likeliest rather than a bit of each.
    """
    weights = np.square(probabilities, dtype=np.float32)
    weights[EMOTIONS.index("neutral")] = 0
    return (weights / max(float(weights.sum()), 1e-6)).astype(np.float32)


def expression_shapes(amounts: F32) -> F32:
    """The shapes [52] that a target expression, so much of each emotion [8], adds."""
    return (amounts @ _all_emotion_shapes()).astype(np.float32)


JAW: Final = sides("jawOpen")[0]


@lru_cache(maxsize=1)
def _all_emotion_shapes() -> F32:
    return np.stack([emotion_shapes(name) for name in EMOTIONS])


def mixture(valence: float, arousal: float) -> dict[str, float]:
    """How much of each emotion a point in -1..1 x -1..1 holds; sums to its distance from 0."""
    intensity = min(math.hypot(valence, arousal), 1.0)
    if intensity == 0:
        return dict.fromkeys(EMOTIONS, 0.0)
    angle = math.degrees(math.atan2(arousal, valence)) % 360
    near = {name: _nearness(angle, place) for name, place in ANGLES_DEG.items()}
    near["happy"] += 0.35 * _nearness(angle, 345.0)
    calm = _nearness(angle, _CALM_DEG) + _nearness(angle, _CALM_DEG - 40.0)
    total = sum(near.values()) + calm
    return {name: intensity * near.get(name, 0.0) / total for name in EMOTIONS}


def amounts_in(shapes: F32, steps: int = 60) -> F32:
    """How much of each emotion [8] is in a face's shapes [52]: the mixture of prototypes, none
    below 0, that comes nearest to them."""
    rows = _all_emotion_shapes()[:, FEELING]
    target = shapes[FEELING]
    amounts = np.zeros(len(EMOTIONS), np.float32)
    step = 1 / max(float(np.linalg.eigvalsh(rows @ rows.T).max()), 1e-6)
    for _ in range(steps):
        amounts = np.maximum(amounts + step * (rows @ (target - amounts @ rows)), 0)
    return amounts.astype(np.float32)


def circumplex(valence: float, arousal: float) -> F32:
    """How much of each emotion [8] there is at a point in valence and arousal."""
    return np.array([mixture(valence, arousal)[name] for name in EMOTIONS], np.float32)


def _nearness(angle: float, place: float) -> float:
    apart = abs((angle - place + 180) % 360 - 180)
    return math.exp(-0.5 * (apart / _WIDTH_DEG) ** 2)
