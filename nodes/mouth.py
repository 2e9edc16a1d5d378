"""A mouth that falls open: teeth stay in the skull, where the camera saw them, and what comes to be
seen below them is dark. Moved with the lips, their seam would be drawn out to a smear."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.types import F32, U8
from nodes.drive import LOWER_INNER, LOWER_LIP, UPPER_INNER, UPPER_LIP
from nodes.eyes import edge_height
from nodes.ramps import smoothstep

MIN_WIDTH_PX: Final = 6.0
SOFT: Final = 0.025
"""over what distance a lip passes into what is behind it, in widths of the mouth"""
SHADE: Final = (0.18, 0.18, 0.26)
"""how bright it is behind the lips, as shares of their blue, green and red"""
TONGUE: Final = 1.7
"""how many times brighter it is above the lower lip, where the tongue lies"""
DEEP: Final = 0.7
"""at the corners it is by this share as bright as in the middle"""


def keep_mouth(out: U8, pixels: U8, landmarks: F32, moved: F32, share: float = 1.0) -> None:
    """Lay what the camera's ``pixels`` [H, W, 3] show between the lips, and what is behind, into
    the opened mouth of ``out``, in place.

    ``landmarks`` [478, 2..3] and where they are now, ``moved`` [478, 2], px; ``share``: how much of
    it is laid, 0..1.
    """
    before = landmarks[:, :2]
    first, last = UPPER_INNER[0], UPPER_INNER[-1]
    across = moved[last] - moved[first]
    width = float(np.hypot(*across))
    ring = moved[[*UPPER_INNER, *LOWER_INNER]]
    left, top = np.maximum(np.floor(ring.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(ring.max(axis=0)).astype(int) + 2, pixels.shape[1::-1])
    if share <= 0 or width < MIN_WIDTH_PX or right - left < 1 or bottom - top < 1:
        return
    # u runs along the mouth, v up, both from the corner on the picture's left.
    axes = np.array([across, [across[1], -across[0]]], np.float32).T / width
    places = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=2)
    u, v = np.moveaxis((places.astype(np.float32) - moved[first]) @ axes, 2, 0)
    upper, lower, new_upper, new_lower = (
        edge_height(u, (points[list(lip)] - moved[first]) @ axes)
        for points in (before, moved)
        for lip in (UPPER_INNER, LOWER_INNER)
    )
    soft = SOFT * width
    depth = (new_upper - v) / np.maximum(new_upper - new_lower, 1)
    filled = _behind(pixels, before, u / width, depth)
    seen = np.minimum(upper - v, v - lower) / soft - 0.5
    filled += np.clip(seen, 0, 1)[..., None] * (pixels[top:bottom, left:right] - filled)
    opened = np.minimum(new_upper - v, v - new_lower) / soft + 0.5
    part = out[top:bottom, left:right]
    part[:] = np.rint(part + share * np.clip(opened, 0, 1)[..., None] * (filled - part))


def _behind(pixels: U8, landmarks: F32, along: F32, depth: F32) -> F32:
    """What is behind the lips [h, w, 3]: ``along`` the mouth and, from the upper lip down, in
    ``depth`` [h, w], both 0..1."""
    lips = np.rint(landmarks[[*UPPER_LIP, *LOWER_LIP]]).astype(int)
    high, wide = pixels.shape[:2]
    lips = lips.clip(0, (wide - 1, high - 1))
    colour = np.median(pixels[lips[:, 1], lips[:, 0]], axis=0).astype(np.float32)
    middle = smoothstep(0, 0.35, np.minimum(along, 1 - along))
    light = (1 + (TONGUE - 1) * smoothstep(0.5, 1, depth)) * (DEEP + (1 - DEEP) * middle)
    behind: F32 = light[..., None] * colour * np.array(SHADE, np.float32)
    return behind
