"""What the generator is told of an edit: a flow, lines of both faces, a feeling's direction.

All of it is at half the crop's side; lengths are in pixels of the 256-pixel crop.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from nodes.emotions import FEELING
from nodes.warp import dense_flow

CROP_PX: Final = 256
HALF_PX: Final = CROP_PX // 2
CELLS: Final = 144
"""of the flow's grid: about a pixel at half the side"""

LIPS_OUTER: Final = np.array(
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
)
LIPS_INNER: Final = np.array(
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
)
EYES: Final = (
    np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]),
    np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]),
)
BROWS: Final = (
    np.array([46, 53, 52, 65, 55, 107, 66, 105, 63, 70]),
    np.array([276, 283, 282, 295, 285, 336, 296, 334, 293, 300]),
)
IRISES: Final = (np.array([469, 470, 471, 472]), np.array([474, 475, 476, 477]))
OVAL: Final = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
     148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
CONTOURS: Final = (LIPS_OUTER, LIPS_INNER, *EYES, *BROWS, *IRISES, OVAL)
TELLING: Final = (LIPS_OUTER, *EYES, *BROWS)
"""the regions by which a feeling is read"""

FULL_FEELING: Final = 1.7
"""length of the feeling shapes of a full emotion: intensity 1"""


def line_map(landmarks: F32) -> F32:
    """The contours of a face [478, 2..3], px of the crop, as a drawing [128, 128] in 0..1."""
    import cv2

    canvas = np.zeros((HALF_PX, HALF_PX), np.uint8)
    points = np.rint(_halved(landmarks[:, :2]) * 16).astype(np.int32)
    for contour in CONTOURS:
        cv2.polylines(canvas, [points[contour]], True, 255, 1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / np.float32(255)


def edit_flow(source: F32, target: F32, triangles: NDArray[np.int32], cells: int = CELLS) -> F32:
    """The backward flow [2, 128, 128], px of the crop, from source to target landmarks [478, 2..3].

    What lies outside of the face fades to no flow; the same flow that the warp applies. ``cells``
    of the flow's grid.
    """
    flow = np.zeros((2, HALF_PX, HALF_PX), np.float32)
    before, after = _halved(source[:, :2]), _halved(target[:, :2])
    found = dense_flow(before, after - before, triangles, HALF_PX, HALF_PX, cells)
    if found is not None:
        rows, columns = found.shift.shape[:2]
        place = (slice(found.top, found.top + rows), slice(found.left, found.left + columns))
        flow[(slice(None), *place)] = 2 * found.shift.transpose(2, 0, 1)
    return flow


def feeling(shapes: F32) -> tuple[F32, float]:
    """The direction [52] of what blendshapes [52] show of a feeling, of unit length, and how much
    of it (alpha of EAP's eq. 1; 1: a full emotion)."""
    shown = np.where(FEELING, shapes, 0).astype(np.float32)
    length = float(np.linalg.norm(shown))
    direction = shown / length if length > 1e-4 else np.zeros_like(shown)
    return direction, length / FULL_FEELING


def region_mask(landmarks: F32, regions: tuple[NDArray[np.int64], ...], grow_px: int = 0) -> U8:
    """1 inside the hulls of some contours, grown by some pixels [256, 256]."""
    import cv2

    canvas = np.zeros((CROP_PX, CROP_PX), np.uint8)
    for region in regions:
        hull = cv2.convexHull(np.rint(landmarks[region, :2]).astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, 1)
    if grow_px:
        size = 2 * grow_px + 1
        canvas = cv2.dilate(canvas, np.ones((size, size), np.uint8)).astype(np.uint8, copy=False)
    return canvas


def _halved(points: F32) -> F32:
    """Pixel coordinates at half the side; whole numbers are centres of pixels."""
    return ((points - 0.5) / 2).astype(np.float32)
