"""Lips that meet show nothing of what was between them."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.types import F32
from face.ramps import ramp
from face.topology import CHIN, LOWER_INNER, NOSE, UPPER_INNER

MEET: Final = (0.01, 0.03)
"""up to which distance lips meet, in widths of the mouth"""
WITHIN: Final = 0.2
"""how far from the line on which they meet pixels are looked at, in widths of the mouth"""
RIM: Final = 0.012
"""how far on the lip, from its edge, its colour is its own, in widths of the mouth"""


def seal(x: F32, y: F32, origin: tuple[int, int], before: F32, after: F32) -> None:
    """Let no pixel of shut lips come from between them: ``x``, ``y`` [h, w], where in the picture
    each pixel of a part of it at ``origin`` comes from, change in place. The face's landmarks
    ``before`` and ``after`` [478+, 2..3] px.

    A flow on a coarse grid can't do it: what it squeezes is narrow, and still seen.
    """
    into, onto = _Mouth(before), _Mouth(after)
    share = 1 - ramp(*MEET, onto.gap)
    if share <= 0 or into.gap <= onto.gap:
        return
    reach = WITHIN * onto.width
    low = np.maximum(np.floor(onto.low - reach).astype(int) - origin, 0)
    high = np.minimum(np.ceil(onto.high + reach).astype(int) - origin, x.shape[::-1])
    if (high <= low).any():
        return
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    rows, columns = np.mgrid[part].astype(np.float32)
    along, across = onto.place(columns + origin[0], rows + origin[1])
    line = (onto.edge(along, 0) + onto.edge(along, 1)) / 2
    off = across - line
    from_along, from_across = into.place(x[part], y[part])
    rim = np.float32(RIM * into.width)
    upper, lower = into.edge(from_along, 0) - rim, into.edge(from_along, 1) + rim
    target = np.where(off < 0, np.minimum(from_across, upper), np.maximum(from_across, lower))
    inside = (along > 0) & (along < onto.width) & (np.abs(off) < reach)
    shift = np.where(inside, share * (target - from_across), 0).astype(np.float32)
    x[part] += shift * into.down[0]
    y[part] += shift * into.down[1]


class _Mouth:
    """The inner lips' edges along a line from corner to corner, px."""

    def __init__(self, points: F32) -> None:
        lips = points[[*UPPER_INNER, *LOWER_INNER], :2].reshape(2, -1, 2)
        self.low, self.high = lips.min(axis=(0, 1)), lips.max(axis=(0, 1))
        start, end = lips[0, 0], lips[0, -1]
        self.width = max(float(np.linalg.norm(end - start)), 1.0)
        self._start, self._right = start, (end - start) / np.float32(self.width)
        self.down = np.array([-self._right[1], self._right[0]], np.float32)
        nose, chin = points[[NOSE, CHIN], :2]
        if float((chin - nose) @ self.down) < 0:  # shut lips cross and can't tell
            self.down = -self.down
        self._along, self._across = (lips - start) @ self._right, (lips - start) @ self.down
        self.gap = float(np.maximum(self._across[1] - self._across[0], 0).max()) / self.width

    def place(self, x: F32, y: F32) -> tuple[F32, F32]:
        """Along the line from the first corner, and below it."""
        x, y = x - self._start[0], y - self._start[1]
        along: F32 = x * self._right[0] + y * self._right[1]
        below: F32 = x * self.down[0] + y * self.down[1]
        return along, below

    def edge(self, along: F32, which: int) -> F32:
        """How far below the line the upper (0) or lower lip's edge is."""
        order = np.argsort(self._along[which])
        at: F32 = np.interp(along, self._along[which][order], self._across[which][order]).astype(
            np.float32
        )
        return at
