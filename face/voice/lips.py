"""How far a rig parts the lips."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.types import F32
from face.emotions import shapes_of

OPENS: Final[F32] = shapes_of(
    {
        "jawOpen": 1.0,
        "mouthClose": -1.0,
        "mouthLowerDown": 0.15,
        "mouthUpperUp": 0.15,
        "mouthRollLower": -0.1,
        "mouthRollUpper": -0.1,
        "mouthPress": -0.05,
    }
)
"""how much each shape [52] parts the lips"""
CLOSED: Final = 0.06
"""lips that are parted less are closed"""


def parted(rig: F32) -> F32:
    """How far lips are apart, in jaws' openings, of shapes [..., 52]."""
    return np.asarray(rig @ OPENS, np.float32)
