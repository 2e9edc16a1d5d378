"""Move a face's pixels: landmark displacements to a dense flow, and the flow to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.ramps import smoothstep
from face.render.grid import FADE, MARGIN, carried_on
from face.topology import EYEBALLS

FLOW_CELLS: Final = 176
"""longer side of the coarse grid on which the flow is made, cells"""


@dataclass(frozen=True, eq=False)
class Flow:
    """Where each pixel of a box comes from: ``shift`` [h, w, 2] px, added to a pixel's place."""

    left: int
    top: int
    shift: F32


def dense_flow(
    points: F32,
    displacements: F32,
    triangles: NDArray[np.int32],
    width: int,
    height: int,
    cells: int = FLOW_CELLS,
) -> Flow | None:
    """The backward flow of a picture whose landmarks [478, 2..3] px move by [478, 2] px.

    Inside the mesh it is piecewise affine, outside it continues smoothly and dies away. None
    where the face lies outside of the picture.
    """
    import cv2

    if points.shape[1] == 3:  # what is far is drawn first: a nose hides the cheek behind it
        depth = points[triangles, 2].mean(axis=1)
        triangles = triangles[np.argsort(-depth, kind="stable")]
    landmarks, displacements = _still_eyes(points, displacements)
    after = landmarks + displacements
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    size = float((high - low).max())
    left, top = np.maximum(np.floor(low - MARGIN * size), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + MARGIN * size), (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    cell = max(right - left, bottom - top) / cells
    columns = max(2, round((right - left) / cell))
    rows = max(2, round((bottom - top) / cell))
    step = np.array([(right - left) / columns, (bottom - top) / rows])
    grid = (after - (left, top) + 0.5) / step - 0.5  # a cell's centre has whole coordinates
    mesh, inside = rasterize(grid, -displacements, triangles, columns, rows)
    coarse = _extend(mesh, inside, FADE * size / float(step.mean()))
    if max(float(np.abs(axis).max()) for axis in coarse) < 0.02:
        return None
    wide = (right - left, bottom - top)
    shift = cv2.merge([cv2.resize(axis, wide, interpolation=cv2.INTER_LINEAR) for axis in coarse])
    return Flow(int(left), int(top), shift.astype(np.float32, copy=False))


def apply_flow(pixels: U8, flow: Flow, out: U8 | None = None) -> U8:
    """The picture [H, W, 3] with the flow applied; pixels that don't move stay bit by bit.

    ``out`` is memory to write it into, of the same shape.
    """
    import cv2

    out = np.empty_like(pixels) if out is None else out

    rows, columns = flow.shift.shape[:2]
    x = flow.shift[..., 0] + np.arange(flow.left, flow.left + columns, dtype=np.float32)
    y = flow.shift[..., 1] + np.arange(flow.top, flow.top + rows, dtype=np.float32)[:, None]
    np.copyto(out, pixels)
    there = out[flow.top : flow.top + rows, flow.left : flow.left + columns]
    cv2.remap(pixels, x, y, cv2.INTER_CUBIC, dst=there, borderMode=cv2.BORDER_REPLICATE)
    return out


def _still_eyes(points: F32, displacements: F32) -> tuple[F32, F32]:
    """Put each eye's centre between its lids and keep it there, so that lids slide over the eye."""
    points, displacements = points[:, :2].copy(), displacements.copy()
    for centre, lids in EYEBALLS:
        points[centre] = points[list(lids)].mean(axis=0)
        displacements[centre] = 0
    return points, displacements


def rasterize(
    points: F32, values: F32, triangles: NDArray[np.int32], columns: int, rows: int
) -> tuple[F32, NDArray[np.bool_]]:
    """Values [N, C] at points [N, 2], interpolated over the triangles that face the camera, and
    where these are: [C, rows, columns] and [rows, columns].

    All triangles at once, row by row: drawn one by one, each would give way to the threads of other
    nodes, and take the interpreter back.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    facing = np.flatnonzero(area < -1e-3)
    a, b, c, inverse = a[facing], b[facing], c[facing], 1 / area[facing, None]
    value_a, value_b, value_c = (values[triangles[facing, k]] for k in range(3))
    # value(x, y) = slope_x * x + slope_y * y + constant on each triangle
    rise_b, rise_c = value_b - value_a, value_c - value_a
    slope_x = (rise_b * (c - a)[:, 1:] - rise_c * (b - a)[:, 1:]) * inverse
    slope_y = (rise_c * (b - a)[:, :1] - rise_b * (c - a)[:, :1]) * inverse
    constant = value_a - slope_x * a[:, :1] - slope_y * a[:, 1:]

    highs = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)[:, 1]), 0).astype(np.int32)
    lows = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)[:, 1]), rows - 1).astype(np.int32)
    triangle, y = _counted(highs, lows)
    # Facing triangles run such that an edge that goes down bounds them on the left.
    left = np.zeros(len(y), np.float32)
    right = np.full(len(y), columns - 1, np.float32)
    for start, end in ((a, b), (b, c), (c, a)):
        down = end[:, 1] - start[:, 1]
        lean = (end[:, 0] - start[:, 0]) / np.where(down == 0, 1, down)
        crossing = (start[:, 0] - lean * start[:, 1])[triangle] + lean[triangle] * y
        np.maximum(left, crossing, out=left, where=(down > 0)[triangle])
        np.minimum(right, crossing, out=right, where=(down < 0)[triangle])
    span, x = _counted(np.ceil(left).astype(np.int32), np.floor(right).astype(np.int32))
    triangle, y = triangle[span], y[span]
    place = y * columns + x
    mesh = np.zeros((values.shape[1], rows * columns), np.float32)
    inside = np.zeros(rows * columns, np.bool_)
    inside[place] = True
    for axis, drawn in enumerate(mesh):
        by_x, by_y, plus = slope_x[:, axis], slope_y[:, axis], constant[:, axis]
        drawn[place] = by_x[triangle] * x + by_y[triangle] * y + plus[triangle]
    return mesh.reshape(-1, rows, columns), inside.reshape(rows, columns)


def _counted(
    first: NDArray[np.int32], last: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Every whole number from ``first`` to ``last`` [N], and to which of these it belongs."""
    counts = np.maximum(last - first + 1, 0)
    ends = np.cumsum(counts)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner), dtype=np.int32) - (ends - counts - first)[owner]
    return owner, number.astype(np.int32)


def _extend(mesh: F32, inside: NDArray[np.bool_], fade: float) -> F32:
    """The flow [2, rows, columns] carried on outside of the mesh, fading to zero over ``fade``
    cells."""
    import cv2

    carried, weight, distance = carried_on(mesh, inside, fade)
    near = smoothstep(0, 1, 1 - distance / np.float32(fade)) / np.maximum(weight, 1e-3)
    still = distance >= fade
    flow = np.empty_like(mesh)
    for axis, outer in enumerate(carried):
        whole = np.where(inside, mesh[axis], outer * near)
        flow[axis] = cv2.GaussianBlur(whole, (0, 0), 1.0)
        flow[axis][still] = 0
    return flow
