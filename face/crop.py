"""The square that networks see: upright, steady under expression, 256x256 with a margin."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.rig import Placement

CROP_PX: Final = 256
CROP_CM: Final = 27.0
"""side of the square at the face's distance; a face is about 19 cm from hairline to chin"""
CENTRE_CM: Final = (0.0, -2.6, 0.0)
"""what lies in its middle, in face coordinates: between nose and upper lip's root"""


def crop_transform(placement: Placement) -> F32:
    """Picture -> crop [2, 3] px. Of rigid points only, so that a smile doesn't move the crop."""
    centre = placement.scale * placement.turn @ np.array(CENTRE_CM, np.float32) + placement.offset
    across = placement.turn[:2, 0]
    if float(np.hypot(*across)) < 0.3:  # in profile, up is the surer direction
        up = placement.turn[:2, 1]
        across = np.array([up[1], -up[0]], np.float32)
    angle = math.atan2(-float(across[1]), float(across[0]))
    scale = CROP_PX / (CROP_CM * max(placement.scale, 1e-6))
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    offset = CROP_PX / 2 - turn @ np.array([centre[0], -centre[1]])
    return np.column_stack([turn, offset]).astype(np.float32)


def crop(pixels: U8, transform: NDArray[np.floating[Any]], side_px: int = CROP_PX) -> U8:
    """The square [side, side, 3] of a picture; what lies outside continues the border."""
    import cv2

    scale = float(np.hypot(*transform[0, :2]))
    if scale < 0.6:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.35 / scale).astype(np.uint8, copy=False)
    size, border = (side_px, side_px), cv2.BORDER_REPLICATE
    out = cv2.warpAffine(pixels, transform, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return out.astype(np.uint8, copy=False)


def crop_landmarks(landmarks: F32, transform: F32) -> F32:
    """Landmarks [478, 3] px of the picture in px of the crop."""
    scale = float(np.hypot(transform[0, 0], transform[0, 1]))
    out = np.empty_like(landmarks)
    out[:, :2] = landmarks[:, :2] @ transform[:, :2].T + transform[:, 2]
    out[:, 2] = landmarks[:, 2] * scale
    return out
