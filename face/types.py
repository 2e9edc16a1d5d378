"""Words for faces, shapes and emotions by name, and the messages that carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import numpy as np

from engine.types import F32, MESSAGES, Between, Message, Shape

# The 52 outputs of the face landmarker, in its order; index 0 is its own `_neutral`.
BLENDSHAPES: Final = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip

# The eight emotions of MEAD.
EMOTIONS: Final = (
    "neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised",
)  # fmt: skip

Emotion = Literal[
    "neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised"
]  # fmt: skip

_RIG: Final = Shape(len(BLENDSHAPES))
_STEPS: Final = range(2**12)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceTrack(Message):
    """One face in one picture; where ``found`` is False the arrays are zeros.

    ``landmarks`` float32 [478, 3]: x, y in pixels of the picture, z in the same scale.
    ``blendshapes`` float32 [52] in 0..1, ordered as BLENDSHAPES.
    ``pose`` float32 [4, 4]: canonical face (cm) to camera, column vectors, y up, -z forward.
    """

    found: bool
    landmarks: Annotated[F32, Shape(478, 3)]
    blendshapes: Annotated[F32, _RIG]
    pose: Annotated[F32, Shape(4, 4)]
    confidence: float = 0.0
    faces: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceEdit(Message):
    """What the face should become. ``active`` False: leave the picture as it is.

    ``source`` and ``target`` float32 [52], ordered as BLENDSHAPES: the rig as measured (smoothed)
    and the rig that is asked for. The same in emotions: ``removed`` is the share of the own feeling
    that goes (below 0: more of it comes), ``expression`` float32 [8], in the order of EMOTIONS, the
    target expression: how much of each comes; and ``opens`` 0..1 how far the mouth of who is silent
    may fall open for it. ``beyond`` float32 [52]: by how much shapes are to be other than that
    expression has them: one raised brow, a lopsided smile. ``parts``: the share of what that
    expression opens a mouth, 0..1, that comes to it where ``opens`` lets it.
    """

    active: bool
    source: Annotated[F32, _RIG]
    target: Annotated[F32, _RIG]
    expression: Annotated[F32, Shape(len(EMOTIONS))] = field(
        default_factory=lambda: np.zeros(len(EMOTIONS), np.float32)
    )
    removed: float = 1.0
    opens: float = 0.0
    beyond: Annotated[F32, _RIG] = field(
        default_factory=lambda: np.zeros(len(BLENDSHAPES), np.float32)
    )
    parts: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affect(Message):
    """What somebody feels at a moment, as their face shows it, as their voice does, or both.

    ``probabilities`` float32 [8] in the order of EMOTIONS, of sum 1; ``valence`` and ``arousal`` in
    -1..1, ``intensity`` in 0..1. ``name`` is the emotion to call it by, "" where nobody chose: the
    likeliest. Where ``known`` is False there was nothing to read (no face, silence, no network) and
    all of them are zero.
    """

    source: Literal["face", "voice", "both"]
    known: bool
    probabilities: Annotated[F32, Shape(len(EMOTIONS))]
    valence: float = 0.0
    arousal: float = 0.0
    intensity: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceRig(Message):
    """A face without a picture: what an avatar, a portrait or another program wears.

    ``blendshapes`` float32 [52] in 0..1, ordered as BLENDSHAPES; ``pose`` float32 [4, 4] as of a
    FaceTrack; ``expression`` float32 [8], in the order of EMOTIONS, how much of each the face
    shows, as far as that is known; ``spoken`` float32 [52] what the shapes are without that:
    speech, blinks, glances, and what of a reference that expression doesn't have. Where ``found``
    is False there is no face, and all is zero.
    """

    found: bool
    blendshapes: Annotated[F32, _RIG]
    pose: Annotated[F32, Shape(4, 4)]
    expression: Annotated[F32, Shape(len(EMOTIONS))] = field(
        default_factory=lambda: np.zeros(len(EMOTIONS), np.float32)
    )
    spoken: Annotated[F32, _RIG] = field(
        default_factory=lambda: np.zeros(len(BLENDSHAPES), np.float32)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceTrack(Message):
    """What was read of a reference whose expression is to be worn: a row for each step of
    ``step_ns``, played over and over; one row of a picture, none where nothing is to be worn.

    ``shapes`` float32 [T, 52] as tracked. ``probabilities`` float32 [T, 8], ``valence``,
    ``arousal`` and ``intensity`` float32 [T] as of an Affect. ``expression`` float32 [T, 8],
    ``beyond`` float32 [T, 52] and ``parts`` float32 [T] as of the FaceEdit that is to be asked for.
    """

    step_ns: Annotated[int, Between(1, 10**12)]
    shapes: Annotated[F32, Shape(_STEPS, len(BLENDSHAPES))]
    probabilities: Annotated[F32, Shape(_STEPS, len(EMOTIONS))]
    valence: Annotated[F32, Shape(_STEPS)]
    arousal: Annotated[F32, Shape(_STEPS)]
    intensity: Annotated[F32, Shape(_STEPS)]
    expression: Annotated[F32, Shape(_STEPS, len(EMOTIONS))]
    beyond: Annotated[F32, Shape(_STEPS, len(BLENDSHAPES))]
    parts: Annotated[F32, Shape(_STEPS)]


for _type in (FaceTrack, FaceEdit, Affect):
    MESSAGES[f"engine.types:{_type.__name__}"] = _type  # as recordings called them before
