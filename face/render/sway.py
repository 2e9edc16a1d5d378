"""A head that moves in a still picture: hair and ears go with it, shoulders and background stay.

The picture around a face is moved as a plane through the ears would be (an affine map), wholly
within the head, less and less beyond it, not at all where the picture ends or the background is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.types import F32, U8
from face.ramps import smoothstep
from face.rig import Placement

PLANE_CM: Final = -3.0
"""how far behind the face's origin the plane lies"""
MIDDLE_CM: Final = 3.0
"""how far above it the head's middle is"""
WITHIN_CM: Final = ((9.5, 13.0), (9.5, 8.5))
BEYOND_CM: Final = ((19.0, 22.0), (15.0, 17.0))
"""half widths and heights of the head, and of what gives way around it; above and below its
middle"""
EDGE: Final = 0.12
"""how near to the picture's edge nothing moves, in sizes of the picture"""
CELL_PX: Final = 4


class Sway:
    """Of one picture [H, W, 3] with a face at ``landmarks`` [478, 3] px."""

    def __init__(self, picture: U8, landmarks: F32, placement: Placement) -> None:
        import cv2

        self._height, self._width = picture.shape[:2]
        self._still = placement
        y, x = np.mgrid[0 : self._height : CELL_PX, 0 : self._width : CELL_PX].astype(np.float32)
        inside = _head(x, y, placement)
        sides = np.minimum(x, self._width - 1 - x) / self._width
        ends = np.minimum(y, self._height - 1 - y) / self._height
        inside *= smoothstep(0, EDGE, np.minimum(sides, ends))
        whole = cv2.resize(inside, (self._width, self._height), interpolation=cv2.INTER_LINEAR)
        self._share = whole.astype(np.float32)
        self._rows = np.arange(self._height, dtype=np.float32)[:, None]
        self._columns = np.arange(self._width, dtype=np.float32)

    def undone(self, points: F32, pose: Placement) -> F32:
        """Where points [478, 3] px of the moved picture come from."""
        back, shift = self._back(pose)
        there = points.copy()
        moved = points[:, :2] @ back.T + shift
        x, y = np.clip(points[:, :2], 0, (self._width - 1, self._height - 1)).astype(int).T
        share = self._share[y, x][:, None]
        there[:, :2] += share * (moved - points[:, :2])
        return there

    def __call__(self, picture: U8, pose: Placement, out: U8 | None = None) -> U8:
        """The picture with its head moved from where it was to ``pose``."""
        import cv2

        (a, b), (c, d) = (back := self._back(pose))[0]
        shift = back[1]
        # What is moved is small, so that maps are made of differences from where a pixel is.
        x = ((a - 1) * self._columns + b * self._rows + shift[0]) * self._share + self._columns
        y = (c * self._columns + (d - 1) * self._rows + shift[1]) * self._share + self._rows
        out = np.empty_like(picture) if out is None else out
        cv2.remap(picture, x, y, cv2.INTER_CUBIC, dst=out, borderMode=cv2.BORDER_REPLICATE)
        return out

    def _back(self, pose: Placement) -> tuple[F32, F32]:
        """The affine map of a moved picture's pixels to the still one's [2, 2], [2]."""
        here, there = (_plane(one) for one in (pose, self._still))
        back = there[0] @ np.linalg.inv(here[0])
        return back.astype(np.float32), (there[1] - back @ here[1]).astype(np.float32)


def _plane(pose: Placement) -> tuple[F32, F32]:
    """Places on the plane [cm] in the picture [px]: a map [2, 2] and what is added [2]."""
    down = np.array([[1], [-1]], np.float32)
    flat = pose.turn[:2, :2] * pose.scale * down
    middle = (pose.turn[:2, 2] * PLANE_CM * pose.scale + pose.offset[:2]) * down[:, 0]
    return flat.astype(np.float32), middle.astype(np.float32)


def _head(x: F32, y: F32, placement: Placement) -> F32:
    """1 within the head, 0 beyond what is around it."""
    flat, middle = _plane(placement)
    back = np.linalg.inv(flat).astype(np.float32)
    u = back[0, 0] * (x - middle[0]) + back[0, 1] * (y - middle[1])
    v = back[1, 0] * (x - middle[0]) + back[1, 1] * (y - middle[1]) - MIDDLE_CM
    above = v > 0
    distance = []
    for (up_wide, up_tall), (down_wide, down_tall) in (WITHIN_CM, BEYOND_CM):
        wide, tall = np.where(above, up_wide, down_wide), np.where(above, up_tall, down_tall)
        distance.append(np.hypot(u / wide, v / tall))
    within, beyond = distance
    # From 1 on the inner oval to 0 on the outer one, along the ray through both.
    outer = within / np.maximum(beyond, 1e-6)
    return (1 - smoothstep(0, 1, (within - 1) / np.maximum(outer - 1, 1e-6))).astype(np.float32)
