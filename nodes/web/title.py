"""The quiet picture that is sent before there is any other."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from engine.types import U8

STARTING: Final = "starting"
AWAY: Final = "waiting for camera"


@lru_cache(maxsize=4)
def title(text: str, width: int = 640, height: int = 480) -> U8:
    """Grey letters on a dark ground, BGR [H, W, 3], read-only."""
    import cv2

    shade = np.linspace(34, 20, height, dtype=np.float32)[:, None, None]
    picture = np.repeat(shade, width, axis=1) * np.array([1.12, 1.0, 0.96], np.float32)
    pixels = np.ascontiguousarray(picture.astype(np.uint8))
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, width / 800
    (across, down), _ = cv2.getTextSize(text, font, scale, 1)
    place = ((width - across) // 2, (height + down) // 2)
    cv2.putText(pixels, text, place, font, scale, (150, 148, 146), 1, cv2.LINE_AA)
    pixels.flags.writeable = False
    return pixels
