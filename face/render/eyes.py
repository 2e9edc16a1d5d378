"""Eyes under lids that move: the eyeball stays what the camera saw, and what a lid uncovers is
drawn from the rest of it. Moved with the lids, an iris would grow tall as an eye opens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from face.ramps import ramp
from face.topology import EYE_CONTOURS, IRIS_CENTRES


@dataclass(frozen=True)
class _Eye:
    """Landmarks of an eye: its lids, from the picture's left to its right, and its iris."""

    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    iris: int


def _eye(contour: NDArray[np.int64], iris: int, step: int) -> _Eye:
    """``contour`` runs from the outer corner along the lower lid and back."""
    ring = np.r_[contour, contour[:1]]
    return _Eye(ring[:7:-1][::step], ring[:9][::step], iris)


EYES: Final = tuple(map(_eye, EYE_CONTOURS, IRIS_CENTRES, (1, -1)))
LASHES: Final = (0.07, 0.035)
"""how thick the edges of upper and lower lid are, lashes and their shadow, in widths of the eye"""
COVERED: Final = (0.035, 0.02)
"""how much of that covers the eyeball under lids that moved"""
CORNER: Final = 0.1
"""no white is taken from this close to a corner, in widths of the eye"""
SOFT: Final = 0.04
"""over what distance an eyeball comes out from under a lid, in widths of the eye"""
BLEND: Final = 0.3
"""over what distance the left side of an iris passes into the right, in widths of the eye"""
MIN_WIDTH_PX: Final = 6.0
OPEN: Final = (0.1, 0.2)
"""below this opening, in widths of the eye, there is no eyeball to be seen; above the second it is
all there"""
STRETCHED: Final = (0.4, 0.7)
"""logarithm of how many times taller an eye becomes: below the first it is hardly seen"""
WHOLE_IRIS: Final = (0.43, 0.49)
"""an opening, in widths of the eye, that shows an iris from above to below, ..."""
STRETCHED_IRIS: Final = (0.1, 0.25)
"""... whose shape then tells sooner that it was stretched"""


def keep_eyes(out: U8, pixels: U8, landmarks: F32, moved: F32) -> None:
    """Lay the eyes of the camera's ``pixels`` [H, W, 3] between the moved lids of ``out``, in
    place.

    ``landmarks`` [478, 2..3] and where they are now, ``moved`` [478, 2], px.
    """
    for eye in EYES:
        _keep(out, pixels, landmarks[:, :2], moved, eye)


def _keep(out: U8, pixels: U8, before: F32, after: F32, eye: _Eye) -> None:
    across = before[eye.upper[-1]] - before[eye.upper[0]]
    width = float(np.hypot(*across))
    if width < MIN_WIDTH_PX:
        return
    # u runs along the eye, v up, both from the middle of the iris.
    axes = np.array([across, [across[1], -across[0]]], np.float32).T / width
    iris = before[eye.iris]
    upper, lower, new_upper, new_lower = (
        (points[ring] - iris) @ axes
        for points in (before, after)
        for ring in (eye.upper, eye.lower)
    )
    share = _share((upper - lower)[:, 1].max(), (new_upper - new_lower)[:, 1].max(), width)
    ring = after[np.r_[eye.upper, eye.lower]]
    left, top = np.maximum(np.floor(ring.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(ring.max(axis=0)).astype(int) + 2, pixels.shape[1::-1])
    if share == 0 or right - left < 1 or bottom - top < 1:
        return
    places = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=2)
    u, v = np.moveaxis((places.astype(np.float32) - iris) @ axes, 2, 0)
    ball = _eyeball(pixels, u, v, iris, axes, upper, lower, width)
    over, under = (edge * width for edge in COVERED)
    inside = np.minimum(edge_height(u, new_upper) - over - v, v - edge_height(u, new_lower) - under)
    laid = share * np.clip(inside / (SOFT * width) + 0.5, 0, 1)[..., None]
    part = out[top:bottom, left:right]
    part[:] = np.rint(part + laid * (ball - part))


def _share(aperture: float, new_aperture: float, width: float) -> float:
    """How much of the eye is laid, 0..1."""
    if min(aperture, new_aperture) <= 0:
        return 0.0
    stretch = abs(math.log(new_aperture / aperture))
    all_of_iris = ramp(*WHOLE_IRIS, new_aperture / width) * ramp(*STRETCHED_IRIS, stretch)
    return ramp(*OPEN, aperture / width) * max(all_of_iris, ramp(*STRETCHED, stretch))


def _eyeball(
    pixels: U8, u: F32, v: F32, iris: F32, axes: F32, upper: F32, lower: F32, width: float
) -> F32:
    """An eye without lids [h, w, 3], at places ``u``, ``v`` [h, w]."""
    import cv2

    above, below = (edge * width for edge in LASHES)
    high, low = edge_height(u, upper) - above, edge_height(u, lower) + below
    middle = (high + low) / 2
    edge = np.clip(v, np.minimum(low, middle), np.maximum(high, middle))
    hidden = edge != v
    # What is hidden is taken from where the same circle around the pupil comes out from the lid,
    # on both sides.
    aside = np.sqrt(np.maximum(u * u + v * v - edge * edge, 0))
    first, last = upper[0, 0] + CORNER * width, upper[-1, 0] - CORNER * width
    sides = []
    for sign in (-1, 1):
        seen_u = np.where(hidden, np.clip(sign * aside, first, last), u)
        seen_v = np.clip(
            edge, edge_height(seen_u, lower) + below, edge_height(seen_u, upper) - above
        )
        seen = np.stack([seen_u, np.where(hidden, seen_v, v)], axis=2)
        x, y = np.moveaxis((iris + seen @ axes.T).astype(np.float32), 2, 0)
        found = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        sides.append(found.astype(np.float32))
    right: F32 = np.clip(0.5 + u / (BLEND * width), 0, 1)[..., None]
    ball: F32 = sides[0] + right * (sides[1] - sides[0])
    return ball


def edge_height(u: F32, points: F32) -> F32:
    """How high the edge of a lid or lip [N, 2] is at ``u``."""
    order = np.argsort(points[:, 0])
    height: NDArray[np.float64] = np.interp(u, points[order, 0], points[order, 1])
    return height.astype(np.float32)
