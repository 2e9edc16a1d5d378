"""Lips that meet, and lids that close, show nothing of what was between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.types import F32
from face.ramps import ramp, smoothstep
from face.topology import CHIN, LIDS, LOWER_BROWS, LOWER_INNER, NOSE, UPPER_INNER

MEET: Final = (0.01, 0.03)
"""up to which distance lips meet, in widths of the mouth"""
CLOSING: Final = (0.3, 0.65)
"""up to which share of how far they were apart lids close"""
WITHIN: Final = (0.2, 0.3)
"""how far from where they meet pixels are looked at, in widths of the mouth, of an eye"""
LID: Final = 0.6
"""share of what is between a lid and the brow that is unrolled as the lid closes"""
PASSES: Final = (0.6, 1.0)
"""over which part of that it passes into what is around"""
LASHES: Final = 0.05
"""how much of a lid, from its edge, isn't stretched as it closes, in widths of the eye"""
RIM: Final = (0.012, 0.055)
"""how far on the lip, on the lid, from its edge as it is tracked, its colour is its own"""
AROUND: Final = (0.0, 0.14)
"""how far beyond the corners there may be something of an eye"""


def close_slits(x: F32, y: F32, origin: tuple[int, int], before: F32, after: F32) -> None:
    """Let no pixel of shut lips or lids come from between them: ``x``, ``y`` [h, w], where in the
    picture each pixel of a part of it at ``origin`` comes from, change in place. The face's
    landmarks ``before`` and ``after`` [478+, 2..3] px.

    A flow on a coarse grid can't do it: what it squeezes is narrow, and still seen.
    """
    into, onto = (_Slit(points, UPPER_INNER, LOWER_INNER) for points in (before, after))
    if into.gap > onto.gap:
        _close(x, y, origin, into, onto, 1 - ramp(*MEET, onto.gap))
    for (upper, lower), brow in zip(LIDS, LOWER_BROWS, strict=True):
        into, onto = (_Slit(points, upper, lower) for points in (before, after))
        if into.gap > onto.gap:
            closed = 1 - ramp(*CLOSING, onto.gap / into.gap)
            apart = before[list(brow), :2].mean(axis=0) - before[list(upper), :2].mean(axis=0)
            room = LID * max(float(-apart @ into.down), 0.0)
            _close(x, y, origin, into, onto, closed, room)


def _close(
    x: F32, y: F32, origin: tuple[int, int], into: _Slit, onto: _Slit, share: float,
    room: float = 0.0,
) -> None:  # fmt: skip
    """``room``: how much of a lid there is above the eye, px."""
    if share <= 0:
        return
    kind = int(room > 0)
    reach = WITHIN[kind] * onto.width
    rise = max(reach, room + into.gap * into.width)
    low = np.maximum(np.floor(onto.low - rise).astype(int) - origin, 0)
    high = np.minimum(np.ceil(onto.high + rise).astype(int) - origin, x.shape[::-1])
    if (high <= low).any():
        return
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    rows, columns = np.mgrid[part].astype(np.float32)
    along, across = onto.place(columns + origin[0], rows + origin[1])
    above, below = onto.edge(along, 0), onto.edge(along, 1)
    if onto.gap < MEET[1]:
        above = below = np.asarray((above + below) / 2, np.float32)
    from_along, from_across = into.place(x[part], y[part])
    edge = np.float32(RIM[kind] * into.width)
    upper, lower = into.edge(from_along, 0) - edge, into.edge(from_along, 1) + edge
    if room:
        came, off = np.maximum(above - upper, 0), above - across
        drawn = upper - _unrolled(off, came, room, LASHES * onto.width)
        drawn += smoothstep(*PASSES, off / (room + came)) * (from_across - drawn)
    else:
        drawn = np.minimum(from_across, upper)
    target = np.where(across < above, drawn, from_across)
    target = np.where(across >= below, np.maximum(target, lower), target)
    near = (across > above - rise) & (across < below + reach)
    aside = AROUND[kind] * onto.width
    beyond = np.maximum(-along, along - onto.width)
    there = 1 - smoothstep(0, aside, beyond) if aside else beyond < 0
    shift = np.where(near, share * there * (target - from_across), 0).astype(np.float32)
    x[part] += shift * into.down[0]
    y[part] += shift * into.down[1]


def _unrolled(off: F32, came: F32, room: float, lashes: float) -> F32:
    """How far above its edge that of a lid was which is now ``off`` above it, when the edge came
    down by ``came``: the lid unrolls from below the brow, which stays."""
    rest = max(room - lashes, 0.0) / (room + came - lashes)
    unrolled: F32 = np.minimum(off, lashes) + np.maximum(off - lashes, 0) * rest
    return unrolled


class _Slit:
    """What opens between two edges, along a line from corner to corner, px."""

    def __init__(self, points: F32, upper: Sequence[int], lower: Sequence[int]) -> None:
        edges = points[[*upper, *lower], :2].reshape(2, -1, 2)
        self.low, self.high = edges.min(axis=(0, 1)), edges.max(axis=(0, 1))
        start, end = edges[0, 0], edges[0, -1]
        self.width = max(float(np.linalg.norm(end - start)), 1.0)
        self._start, self._right = start, (end - start) / np.float32(self.width)
        self.down = np.array([-self._right[1], self._right[0]], np.float32)
        nose, chin = points[[NOSE, CHIN], :2]
        if float((chin - nose) @ self.down) < 0:  # what is shut crosses and can't tell
            self.down = -self.down
        self._along, self._across = (edges - start) @ self._right, (edges - start) @ self.down
        self.gap = float(np.maximum(self._across[1] - self._across[0], 0).max()) / self.width

    def place(self, x: F32, y: F32) -> tuple[F32, F32]:
        """Along the line from the first corner, and below it."""
        x, y = x - self._start[0], y - self._start[1]
        along: F32 = x * self._right[0] + y * self._right[1]
        below: F32 = x * self.down[0] + y * self.down[1]
        return along, below

    def edge(self, along: F32, which: int) -> F32:
        """How far below the line the upper (0) or lower edge is."""
        order = np.argsort(self._along[which])
        at: F32 = np.interp(along, self._along[which][order], self._across[which][order]).astype(
            np.float32
        )
        return at
