"""The contract: what flows between nodes, how a port takes it, the words for faces. Types only."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
F32 = NDArray[np.float32]

NANOSECONDS: Final = Fraction(1, 1_000_000_000)

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


class Shape:
    """How many elements an array has along each axis: exactly, or within a range."""

    def __init__(self, *axes: int | range) -> None:
        self.axes = tuple(
            axis if isinstance(axis, range) else range(axis, axis + 1) for axis in axes
        )


class Between:
    """What a number may be, both ends included."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high


_SIDE: Final = range(1, 2**15 + 1)
_RIG: Final = Shape(len(BLENDSHAPES))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """Whatever travels over an edge. Arrays are read-only once emitted.

    ``capture_ns`` is monotonic time at capture; nodes copy it unchanged to what they emit.
    What comes from another process is held to the types, shapes and ranges that are declared.
    """

    capture_ns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoFrame(Message):
    """One picture. ``pixels`` uint8 [H, W, 3], BGR, C-contiguous.

    ``pts`` counts ``time_base`` seconds of media time. ``cut`` says that the picture doesn't
    follow from the one before it (a still, a scene cut, a loop). ``name`` is the picture's file
    name where it came from a folder.
    """

    pixels: Annotated[U8, Shape(_SIDE, _SIDE, 3)]
    pts: int = 0
    time_base: Fraction = NANOSECONDS
    cut: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioFrame(Message):
    """A block of sound. ``samples`` int16 [N, channels]; ``capture_ns`` is its first sample's."""

    samples: Annotated[I16, Shape(range(2**20), range(1, 65))]
    rate_hz: Annotated[int, Between(1, 1_000_000)]
    pts: int = 0
    time_base: Fraction = NANOSECONDS


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
    that goes (below 0: more of it comes), ``worn`` float32 [8], in the order of EMOTIONS, how much
    of each comes, and ``opens`` 0..1 how far the mouth of who is silent may fall open for it.
    """

    active: bool
    source: Annotated[F32, _RIG]
    target: Annotated[F32, _RIG]
    worn: Annotated[F32, Shape(len(EMOTIONS))] = field(
        default_factory=lambda: np.zeros(len(EMOTIONS), np.float32)
    )
    removed: float = 1.0
    opens: float = 0.0


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


@dataclass(frozen=True)
class Latest:
    """An input of depth one: the newest message wins, every replaced one is counted as a drop."""

    type: type[Message]
    optional: bool = False


@dataclass(frozen=True)
class Fifo:
    """A bounded queue in order: overflow drops the oldest, counts it and shows it as a gap."""

    type: type[Message]
    depth: int = 64
    optional: bool = False


Input = Latest | Fifo
Outputs = Any  # Message | Mapping[str, Message] | Iterable of either | None; checked by the engine
