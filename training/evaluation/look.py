"""What a method by reference is shown of a reference."""

from __future__ import annotations

from dataclasses import dataclass

from engine.types import U8
from face.types import FaceTrack


@dataclass(frozen=True, eq=False)
class Look:
    """One picture of a reference [H, W, 3], BGR, and the face in it as tracked, unsmoothed."""

    pixels: U8
    track: FaceTrack
