"""Normals and hollows of a mesh whose points move and whose triangles don't."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import F32

Floats = NDArray[np.floating[Any]]


class Mesh:
    """What follows from the triangles [T, 3] alone, worked out once."""

    def __init__(self, triangles: NDArray[np.int32], vertices: int) -> None:
        self.triangles = triangles
        self.vertices = vertices
        corners = triangles.ravel()
        order = np.argsort(corners, kind="stable")
        self._owner = order // 3
        self._used, self._starts = np.unique(corners[order], return_index=True)
        ends = triangles[:, [1, 2, 0]].ravel()
        pairs = np.unique(np.sort(np.stack([corners, ends], axis=1), axis=1), axis=0)
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._near = both[:, 1]
        _, self._near_starts, counts = np.unique(both[:, 0], return_index=True, return_counts=True)
        self._near_counts = counts[:, None].astype(np.float32)

    def normals(self, points: F32) -> F32:
        """Unit normals [V, 3] of points [V, 3], each triangle counting by its area."""
        a, b, c = (points[self.triangles[:, i]] for i in range(3))
        flat = _cross(b - a, c - a)
        out = np.zeros((self.vertices, 3), np.float32)
        out[self._used] = np.add.reduceat(flat[self._owner], self._starts, axis=0)
        return unit(out)

    def spread(self, values: F32) -> F32:
        """The mean of each point's neighbours [V, C]; 0 where there are none."""
        out = np.zeros_like(values)
        sums = np.add.reduceat(values[self._near], self._near_starts, axis=0)
        out[self._used] = sums / self._near_counts
        return out

    def hollow(self, points: F32, normals: F32) -> F32:
        """How far each point lies below its neighbours' mean [V], in mean distances of them."""
        mean = self.spread(points)
        towards = mean - points
        size = self.spread(np.abs(points - mean)).sum(axis=1) + 1e-3
        depth = (towards * normals).sum(axis=1) / (size + 0.2)
        smooth: F32 = 0.5 * depth + 0.5 * self.spread(depth[:, None])[:, 0]
        return smooth


def unit(vectors: Floats) -> F32:
    """Vectors [..., 3] of length 1; those without length stay 0."""
    squares = np.einsum("...i,...i->...", vectors, vectors)
    scaled = vectors / np.sqrt(np.maximum(squares, 1e-12))[..., None]
    return np.asarray(scaled, np.float32)


def _cross(a: F32, b: F32) -> F32:
    out = np.empty_like(a)
    out[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    out[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    out[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return out
