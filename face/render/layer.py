"""Draw a face: the camera's own pixels moved to a target shape, and a texture laid over them in the
picture's own light.

Everything that is piecewise affine on the mesh (where a pixel comes from, its texel, how much of
the surface faces the camera) is drawn once, on a coarse grid, and brought to full size together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.ramps import smoothstep
from face.render.eyes import keep_eyes
from face.render.grid import FADE, Grid, carried_on
from face.render.slits import close_slits
from face.render.surface import (
    HEIGHT,
    MOUTH_BOX,
    WIDTH,
    Surface,
    vertices,
)
from face.render.warp import rasterize
from face.topology import EYE_CONTOURS, INNER_LIPS

BORDER: Final = (1, 14)
"""over which distance from the mesh's border a texture comes in, texels"""
TURNED: Final = (0.15, 0.5)
"""the same by the cosine between surface and camera"""
LIGHT_SIGMA: Final = 4.0
"""what is broader than this many coarse cells is light, what is finer is the person's"""
SOFT: Final = 0.008
"""over what distance skin passes into eyes and mouth, in widths of the face"""
STRANGE: Final = (0.55, 0.85)
"""from where to where the logarithm of colours is apart where something hides the face"""
MATTER: Final = (0.45, 0.75)
"""from where to where a logarithm of colours is further off than the face's usual one because
something else is there, as hair is, and no longer light"""
LIGHT_BOUNDS: Final = (0.4, 2.5)


@dataclass(frozen=True, eq=False)
class Overlay:
    """What is laid over the face. ``texture`` [HEIGHT, WIDTH, 3] BGR; ``alpha`` [HEIGHT, WIDTH]
    0..1; ``ratio`` [rows, columns, 3], of any resolution, is multiplied into what the camera shows
    before; ``gain`` [rows, columns, 3]: light of the picture over that of the texture. ``mouth``
    and ``eyes``: how much of what is between lips and lids comes from the texture, 0..1; the rest
    is the camera's."""

    texture: U8 | None = None
    alpha: F32 | None = None
    ratio: F32 | None = None
    gain: F32 | None = None
    mouth: float = 0.0
    eyes: float = 1.0


class Layer:
    """Draws one face after another on a surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._border = _border(surface)
        self._triangles = np.concatenate([surface.triangles, surface.seam])
        self._meeting = _meeting(self._triangles, len(surface.uv))

    def draw(
        self,
        picture: U8,
        landmarks: F32,
        target: F32,
        overlay: Overlay,
        out: U8 | None = None,
    ) -> U8:
        """The picture [H, W, 3] with the face at ``landmarks`` [478, 3] px in the shape ``target``
        [478, 3] px and under ``overlay``."""
        import cv2

        out = np.empty_like(picture) if out is None else out
        np.copyto(out, picture)
        before, after = vertices(landmarks), vertices(target)
        grid = Grid.around(before, picture.shape)
        if grid is None:
            return out
        maps = self._maps(before, after, grid)
        x, y = (grid.upsample(one) for one in maps[:2])
        x += np.arange(grid.left, grid.right, dtype=np.float32)
        y += np.arange(grid.top, grid.bottom, dtype=np.float32)[:, None]
        close_slits(x, y, (grid.left, grid.top), before, after)
        part = out[grid.top : grid.bottom, grid.left : grid.right]
        cv2.remap(picture, x, y, cv2.INTER_CUBIC, dst=part, borderMode=cv2.BORDER_REPLICATE)
        self._lay(out, grid.part_with(after), maps[2:], after, overlay)
        if overlay.eyes < 1:
            keep_eyes(out, picture, landmarks, target[:, :2])
        if overlay.mouth > 0 and overlay.texture is not None:
            self._lay_mouth(out, after, overlay.texture, overlay.gain, overlay.mouth)
        return out

    def _apart(self, points: F32, shape: tuple[int, ...], eyes: float) -> F32:
        """0 between the lips, and ``eyes`` between the lids, 1 on the skin around [h, w]."""
        import cv2

        skin = np.ones(shape, np.float32)
        rings = [(np.array(INNER_LIPS), 0.0), *((lids, eyes) for lids in EYE_CONTOURS)]
        for ring, share in rings:
            if share < 1:
                corners = np.rint(points[ring] * 16).astype(np.int32)
                cv2.fillPoly(skin, [corners], share, cv2.LINE_8, 4)
        soft = max(0.5, SOFT * float(np.ptp(points[:, 0])))
        return cv2.GaussianBlur(skin, (0, 0), soft).astype(np.float32, copy=False)

    def _maps(self, before: F32, after: F32, grid: Grid) -> list[F32]:
        """On the grid: how far away each pixel comes from, across and down, its texel's u and v,
        and how much of the surface there faces the camera."""
        triangles = self._triangles
        depth = after[triangles, 2].mean(axis=1)
        triangles = triangles[np.argsort(-depth, kind="stable")]
        places = (after[:, :2] - (grid.left, grid.top) + 0.5) / grid.cell - 0.5
        shift = (before - after)[:, :2]
        values = np.column_stack([shift, self._surface.uv, self._turned(after)]).astype(np.float32)
        mesh, inside = rasterize(
            places.astype(np.float32), values, triangles, grid.columns, grid.rows
        )
        size = float(np.ptp(before[:, :2], axis=0).max())
        return _extend(mesh, inside, FADE * size / grid.cell)

    def _turned(self, points: F32) -> F32:
        """How much of the surface at each vertex faces the camera [500], 0..1."""
        a, b, c = (points[self._triangles[:, k]] for k in range(3))
        normal = np.vstack([np.cross(b - a, c - a), np.zeros((1, 3))]).astype(np.float32)
        meeting = normal[self._meeting].sum(axis=1)
        cosine = -meeting[:, 2] / np.maximum(np.linalg.norm(meeting, axis=1), 1e-6)
        return smoothstep(*TURNED, cosine)

    def _lay(self, out: U8, grid: Grid, maps: list[F32], after: F32, overlay: Overlay) -> None:
        """Lay it where the mesh is, a part of the ``grid`` on which its ``maps`` are."""
        import cv2

        laid_over = overlay.texture is not None and overlay.alpha is not None
        if overlay.ratio is None and not laid_over:
            return
        u, v, facing = (grid.upsample(one) for one in maps)
        facing *= self._apart(after[:, :2] - (grid.left, grid.top), facing.shape, overlay.eyes)
        part = out[grid.top : grid.bottom, grid.left : grid.right]
        edge = cv2.BORDER_REPLICATE
        if overlay.ratio is not None:
            scale = overlay.ratio.shape[1] / WIDTH
            x, y = (one * np.float32(scale) + np.float32((scale - 1) / 2) for one in (u, v))
            ratio = cv2.remap(overlay.ratio - 1, x, y, cv2.INTER_LINEAR, borderMode=edge)
            cv2.multiply(part, ratio * facing[..., None] + 1, dst=part, dtype=cv2.CV_8U)
        if overlay.texture is None or overlay.alpha is None:
            return
        alpha = cv2.remap(overlay.alpha * self._border, u, v, cv2.INTER_LINEAR) * facing
        texture = overlay.texture if overlay.gain is None else lit(overlay.texture, overlay.gain)
        laid = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=edge)
        cv2.blendLinear(laid, part.copy(), alpha, 1 - alpha, part)

    def _lay_mouth(self, out: U8, after: F32, texture: U8, gain: F32 | None, share: float) -> None:
        import cv2

        rim = after[self._surface.mouth[:, 0], :2]
        left, top = np.maximum(np.floor(rim.min(axis=0)).astype(int) - 3, 0)
        right, bottom = np.minimum(np.ceil(rim.max(axis=0)).astype(int) + 4, out.shape[1::-1])
        if right - left < 3 or bottom - top < 3:
            return
        places = (after[:, :2] - (left, top)).astype(np.float32)
        ring, middle = self._surface.mouth[:, 0], places[self._surface.mouth[0, 2]]
        edge = places[ring]
        outward = edge - middle
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-3)
        places[ring] = edge + 2 * outward  # so that the edge itself lies on the patch
        field, inside = rasterize(
            places, self._surface.uv, self._surface.mouth, right - left, bottom - top
        )
        lit_texture = texture if gain is None else lit(texture, gain, mouth=True)
        laid = cv2.remap(lit_texture, field[0], field[1], cv2.INTER_LINEAR)
        covered = np.zeros(inside.shape, np.uint8)
        cv2.fillPoly(covered, [np.rint(edge * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        alpha = covered.astype(np.float32) * np.float32(share / 255) * inside
        part = out[top:bottom, left:right]
        cv2.blendLinear(laid, part.copy(), alpha, 1 - alpha, part)


def lit(texture: U8, gain: F32, mouth: bool = False) -> U8:
    """A texture in another light: ``gain`` [rows, columns, 3] on the coarse grid. The mouth's patch
    takes the light around the lips."""
    import cv2

    if mouth:
        left, top, right, bottom = MOUTH_BOX
        around = np.median(gain[24:30, 20:28].reshape(-1, 3), axis=0)
        out = texture.copy()
        patch = texture[top : bottom + 1, left : right + 1]
        out[top : bottom + 1, left : right + 1] = np.clip(patch * around, 0, 255)
        return out
    fine = cv2.resize(gain, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(texture, fine, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def light_gain(here: F32, seen: F32, there: F32, known: F32) -> F32:
    """How many times brighter each colour is in one light than in another [rows, columns, 3]:
    colours ``here`` and ``there`` on the coarse grid, and how well each was seen [rows, columns].
    Where hair, or a hand, lies in one of them, the light around counts.
    """
    import cv2

    both = np.minimum(seen, known)
    change = np.log((here + 10) / (there + 10)).mean(axis=2)
    usual = np.median(change[both >= both.max() / 2])
    other = smoothstep(*MATTER, np.abs(change - usual) * (both > 0))
    light = 1 - cv2.dilate(other, np.ones((5, 5), np.uint8)).astype(np.float32)
    both = (both * light + np.float32(1e-4))[..., None]
    low = [
        cv2.GaussianBlur(one * both, (0, 0), LIGHT_SIGMA, borderType=cv2.BORDER_REPLICATE)
        for one in (here, there)
    ]
    weight = cv2.GaussianBlur(both, (0, 0), LIGHT_SIGMA, borderType=cv2.BORDER_REPLICATE)[..., None]
    gain = (low[0] / weight + 2) / (low[1] / weight + 2)
    bounded: F32 = np.clip(gain, *LIGHT_BOUNDS).astype(np.float32)
    return bounded


def fits(here: F32, there: F32, gain: F32, seen: F32) -> F32:
    """Where a texture may lie over what the camera shows [rows, columns], 0..1, on the coarse grid:
    not where that is something else, as a hand is, than any expression of this face."""
    import cv2

    apart = np.abs(np.log((here + 10) / (there * gain + 10))).mean(axis=2) * np.minimum(2 * seen, 1)
    apart = cv2.dilate(cv2.GaussianBlur(apart, (0, 0), 1.2), np.ones((3, 3), np.uint8))
    return (1 - smoothstep(*STRANGE, np.asarray(apart, np.float32))).astype(np.float32)


def _extend(mesh: F32, inside: NDArray[np.bool_], fade: float) -> list[F32]:
    """Values on the grid carried on outside of the mesh: a flow (the first two) dies away over
    ``fade`` cells, texels go on, and what faces the camera ends."""
    import cv2

    carried, weight, distance = carried_on(mesh[:4], inside, fade)
    scale = 1 / np.maximum(weight, 1e-3)
    near = smoothstep(0, 1, 1 - distance / np.float32(fade))
    out: list[F32] = []
    for axis in range(2):
        flow = np.where(inside, mesh[axis], carried[axis] * scale * near)
        out.append(np.asarray(cv2.GaussianBlur(flow, (0, 0), 1.0), np.float32))
    for axis in range(2, 4):
        out.append(np.where(inside, mesh[axis], carried[axis] * scale).astype(np.float32))
    out.append((mesh[4] * inside).astype(np.float32))
    return out


def _border(surface: Surface) -> F32:
    """1 on the mesh's inside, falling to 0 at its border [HEIGHT, WIDTH]."""
    import cv2

    there = np.zeros((HEIGHT, WIDTH), np.uint8)
    there.ravel()[surface.fine.place] = 1
    left, top, right, bottom = MOUTH_BOX
    there[top - 1 : bottom + 2, left - 1 : right + 2] = 0
    inward = cv2.distanceTransform(np.pad(there, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return smoothstep(*BORDER, inward).astype(np.float32)


def _meeting(triangles: NDArray[np.int32], count: int) -> NDArray[np.intp]:
    """[V, K]: the triangles that meet in each vertex; where fewer do, one beyond the last."""
    found: list[list[int]] = [[] for _ in range(count)]
    for number, corners in enumerate(triangles):
        for corner in corners:
            found[corner].append(number)
    most = max(map(len, found))
    return np.array([row + [len(triangles)] * (most - len(row)) for row in found], np.intp)
