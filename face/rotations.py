"""Head rotations as unit quaternions [4]: x, y, z, w."""

from __future__ import annotations

import math

import numpy as np

from engine.types import F32


def quaternion(turn: F32) -> F32:
    """Of a rotation matrix [3, 3]."""
    m = turn.astype(np.float64)
    # The largest of the four is found first, so that nothing is divided by a small one.
    squares = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    largest = int(squares.argmax())
    root = 2 * math.sqrt(max(float(squares[largest]), 1e-12))
    off = {
        (0, 1): m[0, 1] + m[1, 0], (0, 2): m[0, 2] + m[2, 0], (1, 2): m[1, 2] + m[2, 1],
        (0, 3): m[2, 1] - m[1, 2], (1, 3): m[0, 2] - m[2, 0], (2, 3): m[1, 0] - m[0, 1],
    }  # fmt: skip
    parts = [
        root / 4 if k == largest else off[min(k, largest), max(k, largest)] / root for k in range(4)
    ]
    unit = np.array(parts, np.float32) / np.float32(np.linalg.norm(parts))
    return unit if unit[3] >= 0 else -unit


def part(whole: F32, share: float) -> F32:
    """The share of a rotation around its own axis."""
    half = math.acos(float(np.clip(whole[3], -1, 1)))
    length = float(np.linalg.norm(whole[:3]))
    if length < 1e-8:
        return np.array([0, 0, 0, 1], np.float32)
    axis = whole[:3] / length
    return np.append(axis * math.sin(share * half), math.cos(share * half)).astype(np.float32)


def roll(turn: F32) -> float:
    """How far a head [3, 3] leans over to the picture's left, radians (yaw and pitch: see
    `head_angles`)."""
    return float(np.arctan2(turn[1, 0], turn[1, 1]))


def from_angles(yaw: float, pitch: float, roll: float = 0.0) -> F32:
    """The matrix [3, 3] of a head turned by degrees: to the picture's right, down, and over to the
    picture's left (see `head_angles`)."""
    y, x, z = np.radians([yaw, pitch, roll])
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    turn: F32 = (np.array(about_y) @ np.array(about_x) @ np.array(about_z)).astype(np.float32)
    return turn


def power(turn: F32, share: float) -> F32:
    """A rotation matrix [3, 3] that turns ``share`` times as far around the same axis."""
    x, y, z, w = part(quaternion(turn), share)
    turned: F32 = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )
    return turned
