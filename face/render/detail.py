"""What is fine on a face's skin, apart from the light: folds, furrows, brows, on the surface."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.render.surface import COARSE, HEIGHT, MOUTH_BOX, WIDTH, load_surface

ROWS: Final = HEIGHT // 2
COLUMNS: Final = WIDTH // 2
DARK: Final = 6.0
"""grey levels added before a logarithm is taken: noise in the dark is no fold"""
FINEST: Final = 1.2
BROADEST: Final = 15.0
"""what is finer or broader than this many cells is noise, or light"""


def detail(texture: U8, seen: U8) -> F32:
    """Logarithm of brightness to that around it [ROWS, COLUMNS], 0 where nothing was seen, of a
    texture [HEIGHT, WIDTH, 3] and how well it was seen [HEIGHT, WIDTH]."""
    import cv2

    size = (COLUMNS, ROWS)
    grey = cv2.cvtColor(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    weight = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight *= skin_mask() / np.float32(255)
    fine = np.log(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), FINEST) + np.float32(DARK))
    around = cv2.GaussianBlur(fine * weight, (0, 0), BROADEST)
    around /= cv2.GaussianBlur(weight, (0, 0), BROADEST) + np.float32(1e-3)
    seen_fine: F32 = ((fine - around) * weight).astype(np.float32)
    return seen_fine


def coarse_detail(fine: F32) -> F32:
    """The same on the coarse grid [HEIGHT / 8, WIDTH / 8]: what tells people apart."""
    import cv2

    size = (WIDTH // COARSE, HEIGHT // COARSE)
    smooth = cv2.GaussianBlur(fine, (0, 0), 2.0)
    return cv2.resize(smooth, size, interpolation=cv2.INTER_AREA).astype(np.float32)


@lru_cache(maxsize=1)
def skin_mask() -> F32:
    """1 on the skin, 0 elsewhere and on the mouth's patch [ROWS, COLUMNS]."""
    import cv2

    there: NDArray[np.uint8] = np.zeros(HEIGHT * WIDTH, np.uint8)
    there[load_surface().fine.place] = 1
    there = there.reshape(HEIGHT, WIDTH)
    left, top, right, bottom = MOUTH_BOX
    there[top - 1 : bottom + 2, left - 1 : right + 2] = 0
    small = cv2.resize(there, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return (small > 0).astype(np.float32)
