"""What the renderer is asked to draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.types import F32, U8
from face.rig import Placement
from face.types import BLENDSHAPES, EMOTIONS


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """A face in a picture, and what it should become.

    ``picture`` [H, W, 3]; ``landmarks`` [478, 3] px; ``rig`` [52] as measured. ``expression`` [8]:
    how much of each emotion comes; ``removed``: the share of the own feeling that goes (below 0:
    more of it comes); ``beyond`` [52]: by how much shapes are other than with that; ``free``: how
    much of the mouth's opening is the emotion's; ``shut``: the lips meet. ``still``: a picture of
    its own, else ``step_s`` seconds after the one before. The skin network is asked about
    ``every`` n-th picture.
    """

    picture: U8
    landmarks: F32
    placement: Placement
    rig: F32
    expression: F32 = field(default_factory=lambda: np.zeros(len(EMOTIONS), np.float32))
    removed: float = 1.0
    beyond: F32 = field(default_factory=lambda: np.zeros(len(BLENDSHAPES), np.float32))
    free: float = 0.0
    shut: bool = False
    still: bool = False
    step_s: float = 0.0
    every: int = 1
