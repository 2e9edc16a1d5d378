"""The golden heads as they are kept: pictures, and what the tracker sees in them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from engine.types import F32, U8
from face.types import EMOTIONS

PEOPLE: Final = 6
SHEET: Final = Path(__file__).with_name("heads.jpg")
NUMBERS: Final = Path(__file__).with_name("heads.npz")


@lru_cache(maxsize=1)
def pictures() -> U8:
    """BGR [people, emotions, side, side, 3], emotions in the order of EMOTIONS."""
    sheet = np.asarray(cv2.imread(str(SHEET)), np.uint8)
    side = sheet.shape[0] // PEOPLE
    rows = sheet.reshape(PEOPLE, side, len(EMOTIONS), side, 3)
    return np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4))


@lru_cache(maxsize=1)
def seen() -> tuple[F32, F32]:
    """Landmarks [people, emotions, 478, 3] px and blendshapes [people, emotions, 52]."""
    with np.load(NUMBERS) as numbers:
        return numbers["landmarks"], numbers["blendshapes"]
