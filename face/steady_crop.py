"""The crop that networks are shown, live: as steady as those that they were trained on."""

from __future__ import annotations

import numpy as np

from engine.types import F32, U8
from face.crop import CROP_PX, crop, crop_transform
from face.rig import Placement
from face.smoothing import OneEuro

_PAD_PX = 8


class SteadyCrop:
    """Picture -> crop [2, 3] px of one face in video; smoothed in units of the crop."""

    def __init__(self) -> None:
        self._filter = OneEuro(1.0, 2.0)

    def reset(self) -> None:
        """Another picture, another face."""
        self._filter.reset()

    def __call__(self, placement: Placement, step_s: float) -> F32:
        raw = crop_transform(placement)
        unit = float(np.hypot(raw[0, 0], raw[0, 1]))
        if raw[0, 0] <= 0:  # upside down: a sine alone doesn't tell it
            self._filter.reset()
            return raw
        # Where its middle looks, how large it is and how turned.
        middle = np.linalg.inv(raw[:, :2]) @ (np.full(2, CROP_PX / 2) - raw[:, 2])
        key = np.array([*middle * unit / CROP_PX, np.log(unit), raw[0, 1] / unit], np.float32)
        x, y, log_scale, sin = (float(value) for value in self._filter(key, step_s))
        scale, cos = float(np.exp(log_scale)), float(np.sqrt(max(0.0, 1 - sin**2)))
        turn = np.array([[cos, sin], [-sin, cos]]) * scale
        offset = CROP_PX / 2 - turn @ (np.array([x, y]) * CROP_PX / unit)
        return np.column_stack([turn, offset]).astype(np.float32)


def crop_box(transform: F32, width: int, height: int, pad_px: int = 0) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the crop in a picture, cut at its borders; may be empty."""
    side = CROP_PX - 0.5
    corners = np.array([[-0.5, -0.5], [side, -0.5], [-0.5, side], [side, side]])
    places = (corners - transform[:, 2]) @ np.linalg.inv(transform[:, :2]).T
    left, top = np.clip(np.floor(places.min(axis=0)) - pad_px, 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(places.max(axis=0)) + pad_px + 1, 0, (width, height)).astype(
        int
    )
    return int(left), int(top), int(right), int(bottom)


def cut_out(pixels: U8, transform: F32) -> U8:
    """The crop [256, 256, 3] of a picture; reads no more of it than that."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = crop_box(transform, width, height, _PAD_PX)
    if right - left < 2 or bottom - top < 2:
        return crop(pixels, transform)
    return crop(pixels[top:bottom, left:right], moved_origin(transform, left, top))


def moved_origin(transform: F32, left: int, top: int) -> F32:
    """The same transform for a part of the picture that begins at (left, top)."""
    moved = transform.copy()
    moved[:, 2] += transform[:, :2] @ np.array([left, top], np.float32)
    return moved


def to_tensor(patch: U8, side_px: int = CROP_PX) -> F32:
    """A BGR crop [256, 256, 3] as networks take it: RGB [1, 3, S, S] in 0..1."""
    import cv2

    rgb = cv2.cvtColor(patch, cv2.COLOR_BGR2RGB)
    if side_px != CROP_PX:
        scale = side_px / CROP_PX
        shift = scale / 2 - 0.5  # centres of pixels stay where they are
        matrix = np.array([[scale, 0, shift], [0, scale, shift]], np.float32)
        soft = cv2.blur(rgb, (2, 2)) if side_px < 200 else rgb
        rgb = cv2.warpAffine(soft, matrix, (side_px, side_px), borderMode=cv2.BORDER_REPLICATE)
    planes = np.empty((1, 3, side_px, side_px), np.float32)
    for plane, channel in zip(planes[0], cv2.split(rgb), strict=True):
        np.divide(channel, np.float32(255), out=plane)
    return planes
