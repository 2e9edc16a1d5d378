"""The face's surface laid flat: a texture for every picture of a face, and the way back.

The mean mesh is unrolled from a cylinder around the head's axis, so that a cheek has room, and the
inside of the mouth, which a closed mouth hides, has a patch of its own in a corner. Textures of one
person, or of many, meet there texel by texel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.rig import Rig, load_rig
from face.topology import EYEBALLS, INNER_LIPS

WIDTH: Final = 384
HEIGHT: Final = 304
TEXELS_PER_CM: Final = 16.4
AXIS_CM: Final = 8.0
"""how far behind the mesh's origin the cylinder's axis is"""
RADIUS_CM: Final = 9.0
TOP_CM: Final = 6.3
"""what lies at the texture's upper border"""
COARSE: Final = 8
"""texels of a cell of the coarse grid, on which light is compared"""

MOUTH_BOX: Final = (4, 236, 92, 300)
"""left, top, right, bottom of the mouth's patch, texels"""

FACING: Final = (0.12, 0.4)
"""cosine between a triangle and the camera: below the first nothing of it is seen, above the second
all"""


@dataclass(frozen=True, eq=False)
class Texels:
    """Which triangle each texel of a grid lies on, and where: ``corner`` [M, 3] vertices,
    ``weight`` [M, 3] of each, ``place`` [M] in the flat grid of ``shape``."""

    shape: tuple[int, int]
    place: NDArray[np.intp]
    triangle: NDArray[np.intp]
    corner: NDArray[np.intp]
    weight: F32

    @cached_property
    def _columns(self) -> list[tuple[NDArray[np.intp], F32]]:
        """The same corner by corner."""
        return [
            (np.ascontiguousarray(corner), np.ascontiguousarray(weight))
            for corner, weight in zip(self.corner.T, self.weight.T, strict=True)
        ]

    def interpolate(self, values: F32) -> F32:
        """Values [N, C] of vertices over the grid [C, rows, columns], 0 where no triangle is."""
        out = np.zeros((values.shape[1], self.shape[0] * self.shape[1]), np.float32)
        for channel, column in zip(out, np.ascontiguousarray(values.T, np.float32), strict=True):
            parts = (column.take(corner) * weight for corner, weight in self._columns)
            channel[self.place] = sum(parts, start=np.float32(0))
        return out.reshape(-1, *self.shape)


@dataclass(frozen=True, eq=False)
class Surface:
    """The layout. Vertices are the 478 landmarks, the inner lips once more and the mouth's middle
    for the patch, and that middle again for the seam, where closed lips meet.

    ``uv`` [500, 2] texels; ``triangles`` [T, 3] of the skin; ``mouth`` [20, 3] those of the patch,
    ``seam`` [20, 3] those that close the skin.
    """

    uv: F32
    triangles: NDArray[np.int32]
    mouth: NDArray[np.int32]
    seam: NDArray[np.int32]
    fine: Texels
    coarse: Texels

    def unwrap(self, picture: U8, landmarks: F32) -> tuple[U8, U8]:
        """A picture [H, W, 3] with its landmarks [478, 3] px as a texture [HEIGHT, WIDTH, 3], and
        how well each texel was seen [HEIGHT, WIDTH], 0..255."""
        import cv2

        points = vertices(landmarks)
        x, y = self.fine.interpolate(points[:, :2])
        texture = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        height, width = picture.shape[:2]
        flat = np.zeros(HEIGHT * WIDTH, np.float32)
        flat[self.fine.place] = self._facing(points)[self.fine.triangle]
        seen = flat.reshape(HEIGHT, WIDTH)
        seen[(x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)] = 0
        return texture.astype(np.uint8, copy=False), (seen * 255).astype(np.uint8)

    def light(self, picture: U8, landmarks: F32) -> tuple[F32, F32]:
        """The same on the coarse grid: colours [rows, columns, 3] and how well they are seen."""
        import cv2

        points = vertices(landmarks)
        x, y = self.coarse.interpolate(points[:, :2])
        colours = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = np.zeros(x.size, np.float32)
        seen[self.coarse.place] = self._facing(points)[self.coarse.triangle]
        return colours.astype(np.float32), seen.reshape(x.shape)

    def _facing(self, points: F32) -> F32:
        """How much of each triangle, skin first and mouth last, is turned to the camera, 0..1."""
        from face.ramps import smoothstep

        a, b, c = (points[self._all[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        cosine = -normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-6)
        cosine[len(self.triangles) :] = 1
        low, high = FACING
        return smoothstep(low, high, cosine).astype(np.float32)

    @property
    def _all(self) -> NDArray[np.int32]:
        return np.concatenate([self.triangles, self.mouth])


def vertices(points: F32) -> F32:
    """The surface's vertices [500, D] of landmarks [478, D]: eyes' centres lie between their lids,
    so that lids slide over them."""
    points = points.copy()
    for centre, lids in EYEBALLS:
        points[centre] = points[list(lids)].mean(axis=0)
    ring = points[list(INNER_LIPS)]
    middle = ring.mean(axis=0, keepdims=True)
    return np.concatenate([points, ring, middle, middle])


@lru_cache(maxsize=1)
def load_surface() -> Surface:
    """Of the rig that ships."""
    rig = load_rig()
    return _surface(rig)


def _surface(rig: Rig) -> Surface:
    mean = rig.mean.astype(np.float32)
    ring, count = len(INNER_LIPS), len(mean)
    around = RADIUS_CM * np.arctan2(mean[:, 0], mean[:, 2] + AXIS_CM)
    flat = np.stack([around, TOP_CM - mean[:, 1]], axis=1) * TEXELS_PER_CM
    flat[:, 0] += WIDTH / 2 - 0.5
    left, top, right, bottom = MOUTH_BOX
    turn = np.pi + 2 * np.pi * np.arange(ring) / ring
    oval = np.stack([np.cos(turn), np.sin(turn)], axis=1) * [right - left, bottom - top] / 2
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    lips = np.array(INNER_LIPS)
    across = lips[(ring - np.arange(ring)) % ring]  # each lip point's partner on the other lip
    flat[lips] = (flat[lips] + flat[across]) / 2
    skin = vertices(flat.astype(np.float32))
    uv = np.concatenate([skin[:count], oval + middle, middle[None], skin[-1:]]).astype(np.float32)
    rim = np.arange(count, count + ring)
    fan = np.stack([np.roll(rim, -1), rim, np.full(ring, count + ring)], axis=1)
    seam = np.stack([np.roll(lips, -1), lips, np.full(ring, count + ring + 1)], axis=1)
    triangles, mouth, seam = (x.astype(np.int32) for x in (rig.triangles, fan, seam))
    everything = np.concatenate([triangles, mouth])
    fine = texels(uv, everything, (HEIGHT, WIDTH))
    cells = ((uv + 0.5) / COARSE - 0.5).astype(np.float32)
    coarse = texels(cells, triangles, (HEIGHT // COARSE, WIDTH // COARSE))
    return Surface(uv, triangles, mouth, seam, fine, coarse)


def texels(uv: F32, triangles: NDArray[np.int32], shape: tuple[int, int]) -> Texels:
    """Where the texels of a grid of ``shape`` lie on a mesh with vertices at ``uv`` [V, 2]."""
    rows, columns = shape
    owner = np.full(rows * columns, -1, np.intp)
    weights = np.zeros((rows * columns, 3), np.float32)
    for number, corners in enumerate(triangles):
        points = uv[corners].astype(np.float64)
        low = np.maximum(np.ceil(points.min(axis=0)), 0).astype(int)
        high = np.minimum(np.floor(points.max(axis=0)), (columns - 1, rows - 1)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        basis = np.stack([points[1] - points[0], points[2] - points[0]], axis=1)
        if abs(np.linalg.det(basis)) < 1e-9:
            continue
        b, c = np.linalg.solve(basis, np.stack([x - points[0, 0], y - points[0, 1]]).reshape(2, -1))
        inside = (b >= -1e-6) & (c >= -1e-6) & (b + c <= 1 + 1e-6)
        place = (y * columns + x).ravel()[inside]
        owner[place] = number
        weights[place] = np.stack([1 - b - c, b, c], axis=1)[inside]
    place = np.flatnonzero(owner >= 0)
    triangle = owner[place]
    return Texels(shape, place, triangle, triangles[triangle].astype(np.intp), weights[place])
