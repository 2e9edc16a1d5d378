"""Light and shade of skin that folds: ratio images, drawn on a face where its landmarks will lie.

Moving pixels makes no wrinkle. How much darker or brighter a place of the skin becomes with each
shape (the logarithm of the expression ratio image of Liu, Shan and Zhang, "Expressive expression
mapping with ratio images", SIGGRAPH 2001) is learned from labelled photographs of many people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import BLENDSHAPES, F32, U8
from nodes.conditions import CROP_PX, HALF_PX, OVAL, TELLING, edit_flow
from nodes.weights import load_arrays

SHADING_PATH: Final = Path(__file__).parents[1] / "weights" / "shading" / "shading.npz"
CELLS: Final = 48
"""of the grid on which the maps are bent: faces differ smoothly"""
BRIGHTEST: Final = 0.13
"""bound of the logarithm where skin becomes brighter: more looks oily"""
DARKEST: Final = 0.5
"""the same where it becomes darker"""
ASIDE_PX: Final = 3.0
"""how far from eyes, brows, lips and border, px of the maps, the skin's own colours are taken"""
BLACK: Final = 8.0
"""grey levels added before a logarithm is taken"""
TINTS: Final = (0.5, 1.6)
"""bounds of a tint"""
EVEN: Final = 0.5
"""how much light and shade it takes to tell a tint from none: landmarks x square of a logarithm"""
LUMA: Final = np.array([0.114, 0.587, 0.299], np.float32)
"""of blue, green and red; ITU-R BT.601"""


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

        come = np.flatnonzero(change > 0)
        if not len(come) or not much:
            return np.zeros((HALF_PX, HALF_PX), np.float32)
        # not by BLAS, whose threads contend with the graph's own
        flat = np.einsum("s,sij->ij", change[come] * np.float32(much), self.maps[come])
        laid, inverse = self._laid
        to_crop = (inverse @ target[:, :2]).T
        start = target.copy()
        start[:, :2] = laid @ to_crop.T
        to_half = to_crop / 2
        to_half[:, 2] -= 0.25  # centres of pixels at half the side
        near = cv2.warpAffine(flat, to_half, (HALF_PX, HALF_PX), flags=cv2.INTER_LINEAR)
        flow = edit_flow(start, target, triangles, CELLS) / 2
        at = np.arange(HALF_PX, dtype=np.float32)
        drawn = cv2.remap(near, flow[0] + at, flow[1] + at[:, None], cv2.INTER_LINEAR)
        bound = np.where(drawn > 0, BRIGHTEST, DARKEST).astype(np.float32)
        bounded: F32 = bound * np.tanh(drawn / bound)
        return bounded

    def tint(self, patch: U8, landmarks: F32) -> F32:
        """How much each channel of this skin [3] darkens when its luma does, as logarithms: the
        shade of skin is warmer than its light, a grey picture's is grey.

        ``patch`` [256, 256, 3] BGR, ``landmarks`` [478, 3] px of it.
        """
        places = np.rint(landmarks[self._skin, :2]).astype(int).clip(0, CROP_PX - 1)
        colours = np.log(patch[places[:, 1], places[:, 0]] + np.float32(BLACK))
        luma = colours @ LUMA
        luma -= luma.mean()
        slopes = (luma @ colours + EVEN) / (luma @ luma + EVEN)
        tint: F32 = np.clip(slopes, *TINTS).astype(np.float32)
        return tint

    @cached_property
    def _laid(self) -> tuple[F32, F32]:
        """``points`` with a one each [478, 3], and the pseudo-inverse of that [3, 478]."""
        laid = np.hstack([self.points, np.ones((len(self.points), 1), np.float32)])
        return laid, np.linalg.pinv(laid).astype(np.float32)

    @cached_property
    def _skin(self) -> NDArray[np.intp]:
        """Landmarks on bare skin."""
        others = self.points[np.concatenate([*TELLING, OVAL])]
        apart = np.linalg.norm(self.points[:, None] - others, axis=2).min(axis=1)
        return np.flatnonzero(apart > ASIDE_PX)


@lru_cache(maxsize=4)
def load_shading(path: Path = SHADING_PATH) -> Shading:
    """The fitted shading. Raises MienError where the file is missing or broken."""
    maps, points = load_arrays(path, ("maps", "points"))
    side = maps.shape[-1]
    if maps.shape != (len(BLENDSHAPES), side, side) or points.shape != (478, 2):
        raise MienError(f"the weight {path} is no shading: maps of {maps.shape}; fit it again")
    return Shading(maps.astype(np.float32), points.astype(np.float32))
