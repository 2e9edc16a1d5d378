"""The inside of an opened mouth where none was ever seen: teeth, tongue and the dark behind them.

The upper teeth stand with the head, the lower ones with the jaw, so that lips open and close over
them; a texture that is fixed to the lips would stretch the teeth instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from engine.types import F32, U8
from face.ramps import smoothstep
from face.rig import Placement
from face.topology import CHIN, INNER_LIPS, LOWER_INNER, UPPER_INNER

UPPER_CM: Final = ((0.0, 0.84), (0.84, 0.62), (1.46, 0.54), (2.0, 0.38), (2.38, 0.24))
LOWER_CM: Final = ((0.0, 0.52), (0.52, 0.54), (1.06, 0.5), (1.56, 0.4), (1.96, 0.3))
"""where each tooth of a half begins and how wide it looks from the front, an arch being round"""
TALL_CM: Final = (0.95, 0.8)
OVERLAP_CM: Final = -0.12
"""how far the upper teeth reach over the lower ones while lips just meet"""
SHOWS_CM: Final = 0.24
"""how far they reach below the line on which lips meet"""
BEHIND_CM: Final = 0.9
"""how far the teeth stand behind the lips"""
CURVED: Final = 0.028
"""how much higher an edge is beside the middle, 1/cm"""
ROUND_CM: Final = 2.9
"""at which distance from the middle the arch turns away from the light"""
JAW: Final = 0.95
"""how far the lower teeth go for a chin that goes"""
SLIT_CM: Final = 0.12
"""what is narrower between lips shows nothing: it would be dark ticks in the corners of a mouth"""
SHADED_CM: Final = 0.14
"""within which distance lips shade what is behind them"""
SHADE: Final = 0.28
TEETH: Final = np.array([0.78, 0.93, 1.0], np.float32)
GUM: Final = np.array([0.42, 0.42, 0.72], np.float32)
TONGUE: Final = np.array([0.30, 0.29, 0.50], np.float32)
DARK: Final = np.array([0.10, 0.09, 0.16], np.float32)
"""blue, green, red to the brightness of the skin"""
BRIGHT: Final = 1.05
"""of teeth in full light, to the skin"""


@dataclass(frozen=True, eq=False)
class Teeth:
    """Of one face, whose lips met in the shape ``shut`` [478, 3] cm."""

    shut: F32

    @cached_property
    def _bite(self) -> F32:
        """The middle of the upper teeth's edge [3], cm."""
        middle = (self.shut[UPPER_INNER[5]] + self.shut[LOWER_INNER[5]]) / 2
        return np.asarray(middle - (0, SHOWS_CM, BEHIND_CM), np.float32)

    def paint(
        self,
        out: U8,
        shape: F32,
        points: F32,
        placement: Placement,
        skin: F32,
        warmth: float,
        share: float = 1.0,
    ) -> None:
        """Paint between the lips of ``out`` [H, W, 3], in place, a ``share`` of what is there.

        ``shape`` [478, 3] cm is the face now, ``points`` [478, 3] px where that is; ``skin`` [3]
        BGR the skin's colour, ``warmth`` 0..1 how much redder it is than grey.
        """
        import cv2

        lips = points[list(INNER_LIPS), :2]
        left, top = np.maximum(np.floor(lips.min(axis=0)).astype(int) - 2, 0)
        right, bottom = np.minimum(np.ceil(lips.max(axis=0)).astype(int) + 3, out.shape[1::-1])
        if right - left < 3 or bottom - top < 3:
            return
        covered = np.zeros((bottom - top, right - left), np.uint8)
        corners = np.rint((lips - (left, top)) * 16).astype(np.int32)
        cv2.fillPoly(covered, [corners], 255, cv2.LINE_AA, 4)
        across = 3 + 2 * int(SLIT_CM * placement.scale / 2)  # of which 2 px are the outline
        covered = cv2.morphologyEx(covered, cv2.MORPH_OPEN, np.ones((across, across), np.uint8))
        if not covered.any():
            return
        x, y = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        u, v = self._places(x, y, placement)
        drop = JAW * max(float(self.shut[CHIN, 1] - shape[CHIN, 1]), 0.0)
        inside = _inside(u, v, drop, warmth)
        inward = cv2.distanceTransform(covered, cv2.DIST_L2, 3) / np.float32(placement.scale)
        shade = 1 - SHADE * (1 - smoothstep(0, SHADED_CM, inward))
        colour = inside * (shade * skin.mean())[..., None]
        alpha = covered.astype(np.float32) * np.float32(share / 255)
        soft = max(0.35, 0.02 * placement.scale)
        colour = cv2.GaussianBlur(colour, (0, 0), soft)
        part = out[top:bottom, left:right]
        laid = np.clip(colour, 0, 255).astype(np.uint8)
        cv2.blendLinear(laid, part.copy(), alpha, 1 - alpha, part)

    def _places(self, x: F32, y: F32, placement: Placement) -> tuple[F32, F32]:
        """Pixels as places on the teeth's plane: to the side and up of the bite, cm."""
        flat = placement.turn[:2, :2] * placement.scale
        middle = placement.turn[:2] @ self._bite * placement.scale + placement.offset[:2]
        back = np.linalg.inv(flat).astype(np.float32)
        right, up = x - middle[0], -y - middle[1]
        return (
            np.asarray(back[0, 0] * right + back[0, 1] * up, np.float32),
            np.asarray(back[1, 0] * right + back[1, 1] * up, np.float32),
        )


def _inside(u: F32, v: F32, drop: float, warmth: float) -> F32:
    """Colours [h, w, 3], to the skin's brightness, of what is seen at places ``u``, ``v`` cm."""
    u, beside = np.abs(u), u * u
    colour = np.broadcast_to(_tinted(DARK, warmth), (*u.shape, 3)).astype(np.float32)
    tongue = 1 - smoothstep(0.6, 1.0, beside / 1.9**2 + ((v + drop + 0.45) / 0.75) ** 2)
    colour = colour + tongue[..., None] * (_tinted(TONGUE, warmth) - colour)
    away = np.clip(1 - 0.75 * beside / ROUND_CM**2, 0.1, 1)
    for teeth, up, tall, lit in (
        (LOWER_CM, -(v - OVERLAP_CM + drop) + CURVED * beside, TALL_CM[1], 0.72),
        (UPPER_CM, v - CURVED * beside, TALL_CM[0], 1.0),
    ):
        gum = smoothstep(tall - 0.12, tall + 0.05, up) * (up < tall + 0.6) * (u < 2.7)
        colour = colour + gum[..., None] * (_tinted(GUM, warmth) * away[..., None] - colour)
        gap = np.ones_like(u)
        for start, width in teeth:
            off = np.abs(u - start - width / 2) / (width / 2)
            gap = np.minimum(gap, off)
        # Each edge is round, and between two teeth it is darker.
        shown = smoothstep(-0.02, 0.04, up - 0.07 * gap**4) * (up < tall + 0.1)
        shown *= 1 - smoothstep(2.4, 2.7, u)
        bright = 1 - 0.1 * gap * gap - 0.2 * smoothstep(0.75, 1.0, gap)
        root = 1 - 0.18 * smoothstep(0.4 * tall, tall, up)
        light = BRIGHT * bright * away * root * lit
        colour = colour + shown[..., None] * (light[..., None] * _tinted(TEETH, warmth) - colour)
    return colour.astype(np.float32)


def _tinted(colour: F32, warmth: float) -> F32:
    """A colour [3] as a picture of more or less colour shows it; without any, grey."""
    share = np.float32(min(1.0, 0.25 + warmth) if warmth > 0 else 0.0)
    grey = np.float32(colour.mean())
    return np.asarray(grey + share * (colour - grey), np.float32)
