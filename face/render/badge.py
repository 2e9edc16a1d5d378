"""A small mark in a picture's corner that says that its face was made."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from engine.types import F32, U8

TEXT: Final = "AI"
SHARE: Final = 0.06
"""its height, as a share of the picture's shorter side"""
LEAST_PX: Final = 14
_DARK: Final = 0.6
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX


def put_badge(picture: U8) -> None:
    """Draw the badge into ``picture`` [H, W, 3], at the lower right."""
    height, width = picture.shape[:2]
    tall = min(max(LEAST_PX, round(SHARE * min(height, width))), height)
    cover, letters = _drawn(tall)
    wide, margin = min(cover.shape[1], width), tall // 3
    top, left = max(0, height - margin - tall), max(0, width - margin - wide)
    place = picture[top : top + tall, left : left + wide]
    cover, letters = cover[:, :wide], letters[:, :wide]
    place[:] = np.rint(place * (1 - cover) + 255 * letters).astype(np.uint8)


@lru_cache(maxsize=4)
def _drawn(tall: int) -> tuple[F32, F32]:
    """How much of the picture is covered [h, w, 1], and how bright the letters are on it."""
    fine = 4 * tall  # drawn four times as large, so that edges are soft
    scale, thick = fine / 38, max(1, fine // 14)
    (long, high), _ = cv2.getTextSize(TEXT, _FONT, scale, thick)
    wide = (long + fine // 2) // 4
    box, text = (np.zeros((fine, 4 * wide), np.uint8) for _ in range(2))
    round_px = fine // 4
    cv2.rectangle(box, (round_px, 0), (4 * wide - round_px, fine), 255, -1)
    cv2.rectangle(box, (0, round_px), (4 * wide, fine - round_px), 255, -1)
    for x in (round_px, 4 * wide - round_px - 1):
        for y in (round_px, fine - round_px - 1):
            cv2.circle(box, (x, y), round_px, 255, -1)
    start = ((4 * wide - long) // 2, (fine + high) // 2)
    cv2.putText(text, TEXT, start, _FONT, scale, 255, thick, cv2.LINE_AA)
    small = [
        cv2.resize(mask, (wide, tall), interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
        for mask in (box, text)
    ]
    letters = (0.95 * small[1]).astype(np.float32)
    return np.maximum(_DARK * small[0], letters).astype(np.float32), letters
