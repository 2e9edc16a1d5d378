"""The contract: what flows between nodes, and how a port takes it. Types only."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
F32 = NDArray[np.float32]

NANOSECONDS: Final = Fraction(1, 1_000_000_000)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """Whatever travels over an edge. Arrays are read-only once emitted.

    ``capture_ns`` is monotonic time at capture; nodes copy it unchanged to what they emit.
    What comes from another process is held to the types, shapes and ranges that are declared.
    """

    capture_ns: int

    def __init_subclass__(cls) -> None:
        MESSAGES[f"{cls.__module__}:{cls.__qualname__}"] = cls


MESSAGES: Final[dict[str, type[Message]]] = {}
"""every type of message that was defined here, by "module:Class": a recording names its own"""


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
