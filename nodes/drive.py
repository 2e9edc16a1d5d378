"""How the landmarks must move so that a tracker sees the shapes that were asked for.

The rig alone falls short: a shape isn't linear in the landmarks, and a tracker that looks at a
warped picture finds each landmark moved by only a part of what the pixels moved. So the rig is
driven in a loop: predict the landmarks that a tracker would find, read their shapes with the same
network that will judge them, and correct the rig by what is missing. On a still picture the loop
runs to its end; on video one step per frame carries on from the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from nodes.emotions import FEELING
from nodes.landmarker import OUTER_EYE_LEFT, OUTER_EYE_RIGHT
from nodes.rig import Placement, Rig

STILL_STEPS: Final = 8
GAIN: Final = 0.6
"""share of what is missing that a step corrects"""
LEAK: Final = 0.10
"""share of the correction that a step forgets; keeps shapes that can't be had from running off"""
SLACK: Final = (0.9, 0.12)
"""bound of the correction: share of the change asked for, and a constant"""
MAX_MOVE: Final = 0.13
"""about how far a landmark may move, in eye distances"""
MAX_GAP: Final = 0.06
"""how far the lips may be moved to keep the mouth as open as it was, in eye distances"""

UPPER_LIP: Final = (13, 0, 11, 12, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185,
                    191, 267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408,
                    409, 415)  # fmt: skip
LOWER_LIP: Final = (14, 15, 16, 17, 77, 84, 85, 86, 87, 88, 89, 90, 91, 95, 96, 146, 178, 179, 180,
                    181, 307, 314, 315, 316, 317, 318, 319, 320, 321, 324, 325, 375, 402, 403,
                    404, 405)  # fmt: skip
INNER_UPPER: Final = 13
INNER_LOWER: Final = 14
MOUTH_CORNER: Final = 78


class Drive:
    """The rig under control. Keeps its correction from frame to frame until ``reset``."""

    def __init__(self, rig: Rig, blendshapes: Callable[[F32], F32]) -> None:
        self._rig = rig
        self._blendshapes = blendshapes
        self._steered: NDArray[np.bool_] = FEELING & rig.observable
        self._lips = _lip_weights(rig)
        self.reset()

    def reset(self) -> None:
        """Forget the correction: the next face is another picture."""
        self._correction = np.zeros(len(FEELING), np.float32)
        self._gap = 0.0
        self._fresh = True

    def moves(
        self, landmarks: F32, source: F32, target: F32, placement: Placement, strength: float = 1.0
    ) -> F32:
        """Displacements [478, 2] px that turn the shapes ``source`` [52] into ``target`` [52]."""
        steps = STILL_STEPS if self._fresh else 1
        self._fresh = False
        asked = (target - source) * np.float32(strength)
        bound = SLACK[0] * np.abs(asked) + SLACK[1] * (asked != 0)
        size = _eye_distance(landmarks)
        lips = self._lips * _lip_direction(landmarks, placement, size)
        moves = self._realize(asked, lips, placement, size)
        for _ in range(steps):
            seen = landmarks.copy()
            seen[:, :2] += moves * self._rig.response[:, None]
            missing = np.where(self._steered, target - self._blendshapes(seen), 0)
            correction = (1 - LEAK) * self._correction + GAIN * strength * missing
            self._correction = np.clip(correction, -bound, bound).astype(np.float32)
            opened = _gap(seen, placement) - _gap(landmarks, placement)
            wanted = (1 - LEAK) * self._gap - 0.5 * opened / size
            self._gap = float(np.clip(wanted, -MAX_GAP, MAX_GAP))
            moves = self._realize(asked, lips, placement, size)
        return moves

    def _realize(self, asked: F32, lips: F32, placement: Placement, size: float) -> F32:
        moves = self._rig.displace(asked + self._correction, placement)
        moves += lips * np.float32(self._gap * size)
        length = np.linalg.norm(moves, axis=1, keepdims=True) / (MAX_MOVE * size)
        limited: F32 = (moves / (1 + length**4) ** 0.25).astype(np.float32)
        return limited


def _eye_distance(landmarks: F32) -> float:
    span = landmarks[OUTER_EYE_RIGHT] - landmarks[OUTER_EYE_LEFT]
    return max(float(np.linalg.norm(span)), 1.0)


def _gap(landmarks: F32, placement: Placement) -> float:
    """How far the inner upper lip is above the lower one along the face, px; may be negative."""
    apart = landmarks[INNER_UPPER, :2] - landmarks[INNER_LOWER, :2]
    return float(apart @ _face_up(placement))


def _face_up(placement: Placement) -> F32:
    up = placement.turn[:2, 1] * np.array([1, -1], np.float32)
    upward: F32 = up / max(float(np.linalg.norm(up)), 1e-6)
    return upward


def _lip_direction(landmarks: F32, placement: Placement, size: float) -> F32:
    """The unit vector from lower to upper lip; the face's own up while they are closed."""
    apart = landmarks[INNER_UPPER, :2] - landmarks[INNER_LOWER, :2]
    length = float(np.linalg.norm(apart))
    up = _face_up(placement)
    if length < 0.03 * size or float(apart @ up) < 0.5 * length:
        return up
    return apart / np.float32(length)


def _lip_weights(rig: Rig) -> F32:
    """How much each landmark takes part in opening the lips [478, 1]: +1 up, -1 down at centre."""
    weights = np.zeros((len(rig.mean), 1), np.float32)
    half_width = abs(float(rig.mean[MOUTH_CORNER, 0]))
    for points, sign in ((UPPER_LIP, 0.5), (LOWER_LIP, -0.5)):
        across = rig.mean[list(points), 0] / half_width
        weights[list(points), 0] = sign * np.clip(1 - across**2, 0, None)
    return weights
