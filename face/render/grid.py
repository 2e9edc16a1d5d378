"""A coarse grid over a part of a picture: what changes slowly from pixel to pixel is drawn there,
and brought to full size where it is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32

CELLS: Final = 160
"""of the longer side, at most"""
MARGIN: Final = 0.30
"""how far a grid reaches beyond the landmarks, in face sizes"""
FADE: Final = 0.22
"""over what distance beyond the mesh a flow dies away there, in face sizes"""


@dataclass(frozen=True)
class Grid:
    """``left``, ``top``, ``right``, ``bottom`` px in the picture; ``cell`` px, the side of a cell;
    ``column``, ``row``: its first cell in the arrays that are drawn on it, where it is a part of
    another grid."""

    left: int
    top: int
    right: int
    bottom: int
    cell: int
    column: int = 0
    row: int = 0

    @classmethod
    def around(cls, points: F32, shape: tuple[int, ...]) -> Grid | None:
        """Over a face at ``points`` [N, 2..3] px in a picture of ``shape``; None where it is
        outside."""
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        margin = MARGIN * float((high - low).max())
        left, top = np.maximum(np.floor(low - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(high + margin), shape[1::-1]).astype(int)
        if right - left < 2 or bottom - top < 2:
            return None
        cell = -(-max(right - left, bottom - top) // CELLS)
        return cls(int(left), int(top), int(right), int(bottom), int(cell))

    @property
    def columns(self) -> int:
        return max(2, -(-(self.right - self.left) // self.cell))

    @property
    def rows(self) -> int:
        return max(2, -(-(self.bottom - self.top) // self.cell))

    def part_with(self, points: F32) -> Grid:
        """The cells with ``points`` [N, 2..3] px, as far as they are on this grid."""
        size = np.array([self.columns, self.rows])
        places = (points[:, :2] - (self.left, self.top)) / self.cell
        first = np.clip(np.floor(places.min(axis=0)).astype(int) - 1, 0, size - 1)
        last = np.clip(np.ceil(places.max(axis=0)).astype(int) + 1, first + 1, size)
        left, top = first * self.cell + (self.left, self.top)
        right, bottom = np.minimum(
            last * self.cell + (self.left, self.top), (self.right, self.bottom)
        )
        column, row = first[0] + self.column, first[1] + self.row
        return Grid(int(left), int(top), int(right), int(bottom), self.cell, int(column), int(row))

    def upsample(self, drawn: F32) -> F32:
        """An array [rows, columns] of this grid, or of the one that it is a part of, pixel by
        pixel [bottom - top, right - left]."""
        import cv2

        low = max(self.row - 1, 0), max(self.column - 1, 0)
        cells = drawn[low[0] : self.row + self.rows + 1, low[1] : self.column + self.columns + 1]
        size = cells.shape[1] * self.cell, cells.shape[0] * self.cell
        fine = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)
        top, left = (self.row - low[0]) * self.cell, (self.column - low[1]) * self.cell
        high, wide = self.bottom - self.top, self.right - self.left
        return np.asarray(fine[top : top + high, left : left + wide], np.float32)


def carried_on(values: F32, inside: NDArray[np.bool_], cells: float) -> tuple[list[F32], F32, F32]:
    """Values [N, rows, columns] that are known ``inside``, as they go on around: their sums over
    about so many ``cells``, by how much to divide these, and how far the inside is [cells]."""
    import cv2

    mask = inside.astype(np.float32)
    window = (int(cells) | 1, int(cells) | 1)
    spread = cv2.merge([*(values * mask), mask])
    *sums, weight = (
        np.asarray(part, np.float32)
        for part in cv2.split(cv2.blur(cv2.blur(spread, window), window))
    )
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 3)
    return sums, weight, np.asarray(distance, np.float32)
