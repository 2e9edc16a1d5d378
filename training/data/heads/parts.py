"""What anny's head lacks: eyeballs that turn, two rows of teeth, and shoulders."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32

LIPS_CM: Final = np.array([0.0, -7.35, 0.6], np.float32)
"""where the lips of the mean head meet"""
_RINGS: Final = 11
_SEGMENTS: Final = 22
_TEETH: Final = 24
# Height, half width, half depth and middle of depth of each ring from the collar down, cm.
_BODY: Final = (
    (-11.9, 6.1, 6.3, -8.6), (-12.6, 7.1, 7.0, -8.8), (-13.6, 8.6, 7.6, -9.0),
    (-14.8, 12.0, 8.2, -9.4), (-16.2, 16.0, 8.8, -9.8), (-18.2, 19.0, 9.4, -10.0),
    (-22.0, 20.5, 10.2, -10.0), (-34.0, 20.5, 10.5, -10.0),
)  # fmt: skip

Part = tuple[F32, NDArray[np.int32]]
"""points [V, 3] and triangles [T, 3]"""


def eyeball() -> Part:
    """The front of a unit sphere that looks along +z."""
    angle = np.radians(np.linspace(0, 105, _RINGS))[1:, None]
    turn = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)[None]
    rings = np.stack(
        [np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle) + 0 * turn],
        axis=-1,
    ).reshape(-1, 3)
    points = np.concatenate([[[0, 0, 1]], rings]).astype(np.float32)
    around = np.arange(_SEGMENTS)
    after = (around + 1) % _SEGMENTS
    cap = np.stack([0 * around, 1 + around, 1 + after], axis=1)
    return points, np.concatenate([cap, 1 + _bands(_RINGS - 1, _SEGMENTS)]).astype(np.int32)


def teeth() -> tuple[Part, Part]:
    """The upper and the lower row in face coordinates of the mean head.

    Points go column by column; the third of each column is the cutting edge.
    """
    rows = []
    for gum, edge, front in ((1.25, -0.2, 0.45), (-1.6, -0.3, 0.15)):
        turn = np.radians(np.linspace(-80, 80, _TEETH))[:, None]
        heights = np.array([gum, (gum + edge) / 2, edge])[None]
        bulge = np.array([-0.15, 0.0, -0.05])[None]
        x = 2.45 * np.sin(turn) + 0 * heights
        z = front - 3.2 * (1 - np.cos(turn)) + bulge
        y = heights + 0 * turn
        points = (np.stack([x, y, z], axis=-1) + LIPS_CM).reshape(-1, 3).astype(np.float32)
        index = np.arange(_TEETH * 3).reshape(_TEETH, 3)
        a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
        if gum > edge:  # columns run downwards
            quads = [np.stack([a, d, c], -1), np.stack([a, c, b], -1)]
        else:
            quads = [np.stack([a, c, d], -1), np.stack([a, b, c], -1)]
        rows.append((points, np.concatenate([q.reshape(-1, 3) for q in quads]).astype(np.int32)))
    return rows[0], rows[1]


def shoulders() -> Part:
    """Collar, shoulders and chest."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack(
        [
            np.stack([w * np.cos(turn), 0 * turn + y, middle + d * np.sin(turn)], axis=-1)
            for y, w, d, middle in _BODY
        ]
    )
    triangles = _bands(len(_BODY), 40)
    return points.reshape(-1, 3).astype(np.float32), triangles[:, ::-1].astype(np.int32)


def gaze(yaw: float, pitch: float) -> F32:
    """The turn [3, 3] of an eye that looks ``yaw`` to the image's right and ``pitch`` up, rad."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    aside = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    up = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.asarray(aside @ up, np.float32)


def _bands(rings: int, segments: int) -> NDArray[np.int32]:
    """Triangles between neighbouring rings, counter-clockwise where rings open towards +z."""
    index = np.arange(rings * segments).reshape(rings, segments)
    a, b = index[:-1], np.roll(index[:-1], -1, axis=1)
    c, d = np.roll(index[1:], -1, axis=1), index[1:]
    both = np.concatenate([np.stack([a, d, c], -1), np.stack([a, c, b], -1)])
    return both.reshape(-1, 3).astype(np.int32)
