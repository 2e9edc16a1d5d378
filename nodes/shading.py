"""Light and shade of skin that folds: ratio images, drawn on a face where its landmarks will lie.

Moving pixels makes no wrinkle. How much darker or brighter a place of the skin becomes with each
shape (the logarithm of the expression ratio image of Liu, Shan and Zhang, "Expressive expression
mapping with ratio images", SIGGRAPH 2001) is learned from labelled photographs of many people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import BLENDSHAPES, F32
from nodes.conditions import HALF_PX, edit_flow
from nodes.weights import load_arrays

SHADING_PATH: Final = Path(__file__).parents[1] / "weights" / "shading" / "shading.npz"
BRIGHTEST: Final = 0.13
"""bound of the logarithm where skin becomes brighter: more looks oily"""
DARKEST: Final = 0.5
"""the same where it becomes darker"""


@dataclass(frozen=True, eq=False)
class Shading:
    """What `training.fit_shading` found.

    ``maps`` [52, S, S]: logarithm of the ratio of brightness per unit of each blendshape;
    ``points`` [478, 2]: where the landmarks of a calm face lie in them.
    """

    maps: F32
    points: F32

    def __call__(
        self, target: F32, triangles: NDArray[np.int32], change: F32, much: float = 1.0
    ) -> F32:
        """The logarithm of the ratio [128, 128] over a crop of 256x256.

        ``target`` [478, 3] px of the crop: the landmarks of the edited face; ``change`` [52]: the
        shapes it wears less those it had, of which only what comes is drawn: where the skin of one
        person had folded, the mean of many doesn't know; ``much``: how deep all of it is.
        """
        import cv2

        come = np.maximum(change, 0) * np.float32(much)
        if not come.any():
            return np.zeros((HALF_PX, HALF_PX), np.float32)
        flat = np.tensordot(come, self.maps, axes=1)
        laid = np.hstack([self.points, np.ones((len(self.points), 1), np.float32)])
        to_crop = np.linalg.lstsq(laid, target[:, :2], rcond=None)[0].T.astype(np.float32)
        start = target.copy()
        start[:, :2] = laid @ to_crop.T
        to_half = to_crop / 2
        to_half[:, 2] -= 0.25  # centres of pixels at half the side
        near = cv2.warpAffine(flat, to_half, (HALF_PX, HALF_PX), flags=cv2.INTER_LINEAR)
        flow = edit_flow(start, target, triangles) / 2
        at = np.arange(HALF_PX, dtype=np.float32)
        drawn = cv2.remap(near, flow[0] + at, flow[1] + at[:, None], cv2.INTER_LINEAR)
        bound = np.where(drawn > 0, BRIGHTEST, DARKEST).astype(np.float32)
        bounded: F32 = bound * np.tanh(drawn / bound)
        return bounded


@lru_cache(maxsize=4)
def load_shading(path: Path = SHADING_PATH) -> Shading:
    """The fitted shading. Raises MienError where the file is missing or broken."""
    maps, points = load_arrays(path, ("maps", "points"))
    side = maps.shape[-1]
    if maps.shape != (len(BLENDSHAPES), side, side) or points.shape != (478, 2):
        raise MienError(f"the weight {path} is no shading: maps of {maps.shape}; fit it again")
    return Shading(maps.astype(np.float32), points.astype(np.float32))
