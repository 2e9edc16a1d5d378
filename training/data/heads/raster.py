"""A small z-buffer: which triangle covers each pixel, and where in it. Vectorised, no loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import F32


@dataclass(frozen=True, eq=False)
class Hits:
    """The N covered pixels: ``pixel`` [N] row-major index; ``triangle`` [N]; ``weights`` [N, 3]
    of its corners; ``depth`` [N]."""

    pixel: NDArray[np.int64]
    triangle: NDArray[np.int64]
    weights: F32
    depth: F32

    def gather(self, values: F32, triangles: NDArray[np.int32]) -> F32:
        """Values of corners [V, C] interpolated at the covered pixels [N, C]."""
        corners = triangles[self.triangle]
        mixed = values[corners[:, 0]] * self.weights[:, :1]
        mixed += values[corners[:, 1]] * self.weights[:, 1:2]
        mixed += values[corners[:, 2]] * self.weights[:, 2:]
        return mixed


def rasterise(points: F32, triangles: NDArray[np.int32], width: int, height: int) -> Hits:
    """Points [V, 3]: x and y in pixels (y down), depth growing away from the eye; triangles [T, 3]
    are seen where their corners run counter-clockwise."""
    a, b, c = (points[triangles[:, i]] for i in (0, 2, 1))  # y is down: this way round
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    x = np.stack([a[:, 0], b[:, 0], c[:, 0]])
    y = np.stack([a[:, 1], b[:, 1], c[:, 1]])
    left = np.clip(np.ceil(x.min(axis=0) - 0.5), 0, width).astype(np.int64)
    right = np.clip(np.floor(x.max(axis=0) - 0.5) + 1, 0, width).astype(np.int64)
    top = np.clip(np.ceil(y.min(axis=0) - 0.5), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(y.max(axis=0) - 0.5) + 1, 0, height).astype(np.int64)
    wide, high = right - left, bottom - top
    seen = np.flatnonzero((area > 1e-9) & (wide > 0) & (high > 0))
    a, b, c, area, wide, high = a[seen], b[seen], c[seen], area[seen], wide[seen], high[seen]
    counts = wide * high
    owner = np.repeat(np.arange(len(seen)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within.astype(np.int32), wide.astype(np.int32)[owner])
    row += top[seen].astype(np.int32)[owner]
    column += left[seen].astype(np.int32)[owner]
    # Weights are linear in x and y: set them up once per triangle, then two products a sample.
    inverse = 1 / area
    by, cy = (c[:, 1] - a[:, 1]) * inverse, (a[:, 0] - c[:, 0]) * inverse
    bz, cz = (a[:, 1] - b[:, 1]) * inverse, (b[:, 0] - a[:, 0]) * inverse
    dx = column + (0.5 - a[:, 0])[owner]
    dy = row + (0.5 - a[:, 1])[owner]
    second = by[owner] * dx + cy[owner] * dy
    third = bz[owner] * dx + cz[owner] * dy
    inside = np.flatnonzero((second >= 0) & (third >= 0) & (second + third <= 1))
    owner, second, third = owner[inside], second[inside], third[inside]
    pixel = row[inside].astype(np.int64) * width + column[inside]
    first = 1 - second - third
    depth = a[:, 2][owner] * first + b[:, 2][owner] * second + c[:, 2][owner] * third
    depth = depth.astype(np.float32)
    nearest = np.full(width * height, np.inf, np.float32)
    np.minimum.at(nearest, pixel, depth)
    front = np.flatnonzero(depth == nearest[pixel])
    winner = np.full(width * height, -1, np.int64)
    winner[pixel[front]] = front
    pixel = np.flatnonzero(winner >= 0)
    kept = winner[pixel]
    weights = np.stack([first[kept], third[kept], second[kept]], axis=1)
    return Hits(pixel, seen[owner[kept]], weights.astype(np.float32), depth[kept])
