"""Put what is known of a crop into the whole picture: moved pixels, cover, light and shade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8
from nodes.ramps import smoothstep
from nodes.steady_crop import moved_origin
from nodes.warp import Flow, apply_flow

DETAIL: Final = (0.4, 0.9)
"""between these values of the mask the camera's own detail gives way to paint"""
STILL_PX: Final = 0.01
STILL_RATIO: Final = 0.002
"""half a grey level of 256"""

_Box = tuple[int, int, int, int]
"""left, top, right, bottom"""


def move(pixels: U8, transform: F32, shift: F32, out: U8 | None = None) -> U8:
    """The whole picture [H, W, 3], moved by the flow of a crop: ``shift`` [128, 128, 2] px of the
    crop, added to a pixel's place. What doesn't move stays bit by bit."""
    import cv2

    out = np.empty_like(pixels) if out is None else out
    inside = _box((np.abs(shift[..., 0]) > STILL_PX) | (np.abs(shift[..., 1]) > STILL_PX))
    place = (
        None
        if inside is None
        else _in_picture([2 * edge for edge in inside], transform, pixels.shape)
    )
    if place is None:
        np.copyto(out, pixels)
        return out
    left, top, right, bottom = place
    to_half = moved_origin(transform, left, top) / 2
    to_half[:, 2] -= 0.25  # centres of pixels at half the side
    to_picture = np.linalg.inv(transform[:, :2]).astype(np.float32)
    size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    axes = cv2.split(cv2.transform(shift, to_picture))  # of two channels OpenCV is slow
    dense = cv2.merge([cv2.warpAffine(axis, to_half, size, flags=flags) for axis in axes])
    return apply_flow(pixels, Flow(left, top, dense.astype(np.float32, copy=False)), out)


def cover(picture: U8, transform: F32, patch: U8, shift: F32, near: F32, mask: F32) -> None:
    """Take the camera's own detail out of a moved picture [H, W, 3], in place, where the ``mask``
    [256, 256] is nearly shut to it: what was moved there is seen as coarsely as by the crop.

    ``patch`` [256, 256, 3] is the crop, ``shift`` [128, 128, 2] its flow, ``near`` [128, 128] how
    much may be done.
    """
    import cv2

    low, high = DETAIL
    shut = _box(mask > low)
    if shut is None:
        return
    left, top, right, bottom = shut
    half, full, size = _part((left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2))
    share = smoothstep(low, high, mask[full]) * cv2.resize(near[half], size)
    x, y = cv2.split(cv2.resize(shift[half], size))
    x += np.arange(full[1].start, full[1].stop, dtype=np.float32)
    y += np.arange(full[0].start, full[0].stop, dtype=np.float32)[:, None]
    moved = cv2.remap(patch, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    levels = cv2.convertScaleAbs(share, alpha=255)
    seen = _in_view(picture, transform, cv2.merge([*cv2.split(moved), levels]), full)
    if seen is not None:
        part, laid = seen
        share = laid[..., 3] * np.float32(1 / 255)
        part[:] = cv2.blendLinear(part, laid[..., :3].copy(), 1 - share, share)


def lighten(picture: U8, transform: F32, near: F32, light: F32) -> None:
    """Add ``light`` [256, 256] of the crop, 1 is white, to a picture [H, W, 3], in place, as far
    as ``near`` [128, 128] lets it."""
    import cv2

    inside = _box(near > 0)
    if inside is None:
        return
    half, full, size = _part(inside)
    share = cv2.resize(near[half], size)
    for scale, lay in ((255, cv2.add), (-255, cv2.subtract)):
        levels = cv2.multiply(light[full], share, scale=scale, dtype=cv2.CV_8U)
        seen = _in_view(picture, transform, levels, full)
        if seen is not None:
            part, laid = seen
            lay(part, cv2.merge([laid] * 3), dst=part)


def shade(picture: U8, transform: F32, folds: F32, tint: F32) -> None:
    """Multiply a picture [H, W, 3], in place, by the ratio whose logarithm over the crop is
    ``folds`` [128, 128], times ``tint`` [3] in each channel."""
    import cv2

    inside = _box(np.abs(folds) > STILL_RATIO)
    if inside is None:
        return
    half, full, size = _part(inside)
    ratio = cv2.resize(np.exp(folds[half][..., None] * tint.astype(np.float32)), size)
    seen = _in_view(picture, transform, ratio, full, beyond=1)
    if seen is not None:
        part, laid = seen
        cv2.multiply(part, laid, dst=part, dtype=cv2.CV_8U)


def _part(box: _Box) -> tuple[tuple[slice, slice], tuple[slice, slice], tuple[int, int]]:
    """A box at half size as slices there and at full size, and its width and height at full
    size."""
    left, top, right, bottom = box
    half = slice(top, bottom), slice(left, right)
    full = slice(2 * top, 2 * bottom), slice(2 * left, 2 * right)
    return half, full, (2 * (right - left), 2 * (bottom - top))


def _in_view(
    picture: U8,
    transform: F32,
    values: NDArray[Any],
    full: tuple[slice, slice],
    beyond: float = 0,
) -> tuple[U8, NDArray[Any]] | None:
    """The part of a picture where the crop's part ``full`` lies, to be written to, and the values
    [h, w, C] of that as the picture has them, ``beyond`` it another; None where they don't
    meet."""
    import cv2

    rows, columns = full
    box = columns.start, rows.start, columns.stop, rows.stop
    place = _in_picture(box, transform, picture.shape)
    if place is None:
        return None
    left, top, right, bottom = place
    to_values = moved_origin(transform, left, top)
    to_values[:, 2] -= box[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = right - left, bottom - top
    laid = cv2.warpAffine(values, to_values, size, flags=flags, borderValue=(beyond,) * 4)
    return picture[top:bottom, left:right], laid


def _in_picture(box: Sequence[float], transform: F32, shape: tuple[int, ...]) -> _Box | None:
    """A box of the crop as one of the picture [H, W, ...]; None where they don't meet."""
    (a, b, shift_x), (c, d, shift_y) = transform.tolist()
    left, top, right, bottom = (float(edge) - 0.5 for edge in box)
    scale = a * d - b * c
    corners = [(x - shift_x, y - shift_y) for x in (left, right) for y in (top, bottom)]
    across = [(d * x - b * y) / scale for x, y in corners]
    along = [(a * y - c * x) / scale for x, y in corners]
    height, width = shape[:2]
    low_x, low_y = max(math.floor(min(across)), 0), max(math.floor(min(along)), 0)
    high_x, high_y = min(math.ceil(max(across)) + 1, width), min(math.ceil(max(along)) + 1, height)
    if high_x <= low_x or high_y <= low_y:
        return None
    return low_x, low_y, high_x, high_y


def _box(there: NDArray[np.bool_]) -> _Box | None:
    """Left, top, right, bottom of what is True, and a pixel around it; None where nothing is."""
    columns, rows = np.flatnonzero(there.any(axis=0)), np.flatnonzero(there.any(axis=1))
    if not len(rows):
        return None
    height, width = there.shape
    return (
        max(int(columns[0]) - 1, 0),
        max(int(rows[0]) - 1, 0),
        min(int(columns[-1]) + 2, width),
        min(int(rows[-1]) + 2, height),
    )
