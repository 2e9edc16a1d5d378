"""What a viewer feels of an edited face, from landmarks, shapes and pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.emotions import FEELING
from face.rig import align, upright
from face.topology import (
    INNER_LIPS,
    LIP_MIDDLES,
    LIPS_OUTER,
    OUTER_EYE_LEFT,
    OUTER_EYE_RIGHT,
    OVAL,
    RIGID,
)

Frames = Sequence[NDArray[Any]] | NDArray[Any]
"""pictures [H, W, 3] in a row, all of one size"""

LIPS: Final = np.concatenate([LIPS_OUTER, INNER_LIPS])
LEAST_ENERGY: Final = 1.0
NETWORK: Final = "MediaPipe Face Landmarker, 64184e22"
"""what measures landmarks and shapes: another network gives other figures"""


def feeling_energy(shapes: F32) -> NDArray[np.float32]:
    """Shapes [..., 52] -> the sum of those that show a feeling [...]."""
    return np.asarray(shapes[..., FEELING].sum(axis=-1), np.float32)


def eye_distance(landmarks: F32) -> NDArray[np.float32]:
    """Between the outer corners [...] px, of landmarks [..., 478, 2..3]."""
    across = landmarks[..., OUTER_EYE_LEFT, :2] - landmarks[..., OUTER_EYE_RIGHT, :2]
    return np.asarray(np.linalg.norm(across, axis=-1), np.float32)


def relative_aperture(landmarks: F32) -> NDArray[np.float32]:
    """Inner lips' distance over that of the outer eye corners [...]."""
    upper, lower = LIP_MIDDLES
    apart = landmarks[..., upper, :2] - landmarks[..., lower, :2]
    return np.asarray(np.linalg.norm(apart, axis=-1) / eye_distance(landmarks), np.float32)


def mouth_opening_change(before: F32, after: F32) -> float:
    """Mean change of the opening, in eye distances, of landmarks [478 or N, 478, 2..3]."""
    return float(np.abs(relative_aperture(after) - relative_aperture(before)).mean())


def lip_error(truth: F32, made: F32) -> float:
    """LVE: mean over frames of the largest lip displacement, in eye distances.

    Landmarks [T, 478, 3]; head motion is removed by bringing the rigid points of each made frame
    onto the true ones.
    """
    largest = []
    for target, prediction in zip(truth, made, strict=True):
        place = align(upright(prediction[RIGID]), upright(target[RIGID]))
        moved = place.scale * upright(prediction[LIPS]) @ place.turn.T + place.offset
        apart = np.linalg.norm(moved - upright(target[LIPS]), axis=1)
        largest.append(float(apart.max() / eye_distance(target)))
    return float(np.mean(largest))


def blendshape_error(asked: F32, measured: F32) -> float:
    """Mean absolute difference between shapes asked for and measured again [..., 52]."""
    return float(np.abs(asked[..., 1:] - measured[..., 1:]).mean())


def inside(landmarks: F32, height: int, width: int) -> NDArray[np.bool_]:
    """Where a picture shows the face [H, W], of landmarks [478, 2..3] px."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(landmarks[OVAL, :2]).astype(np.int32)], 1)
    return mask.astype(np.bool_)


def flicker(before_THWC: Frames, after_THWC: Frames, inside_THW: Frames) -> float:
    """Mean absolute second difference over time, after less before, inside the face; 0..255."""
    return _unrest(after_THWC, inside_THW) - _unrest(before_THWC, inside_THW)


def _unrest(frames_THWC: Frames, inside_THW: Frames) -> float:
    total, count = 0.0, 0
    for t in range(1, len(frames_THWC) - 1):
        shown = inside_THW[t]
        last, this, following = (
            frames_THWC[i][shown].astype(np.float32) for i in (t - 1, t, t + 1)
        )
        total += float(np.abs(following - 2 * this + last).sum(dtype=np.float64))
        count += this.size
    return total / count if count else 0.0
