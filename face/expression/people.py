"""What real people's faces do: from any expression to the own neutral, from neutral to an emotion.

Statistics over many people, of whom none can be drawn back: means, principal components and a
ridge regression (`training.fit_people`). They serve where a person was never seen to do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from engine.types import F32
from face.types import EMOTIONS
from inference.weight_sets import weight_folder
from inference.weights import load_arrays

FILE: Final = "people.npz"
FORMER: Final = {"displacements": "worn"}
"""what earlier files call their arrays"""
NOISE: Final = 0.08
"""the least deviation of a shape: what a tracker is unsure of"""
LIMIT: Final = 3.0
"""how many deviations from the mean a face may count: what is stranger is no better known"""


@dataclass(frozen=True, eq=False)
class People:
    """Shapes are in head coordinates, cm, 478 x 3 in a row; rigs are the 52 blendshapes.

    ``rig_mean``, ``rig_std`` [52]; ``shape_mean`` [1434], ``shape_basis`` [K, 1434] and
    ``shape_std`` [K]: what emotional faces look like. ``calm_weights`` [1 + 52 + K, D],
    ``calm_basis`` [D, 1434], ``calm_mean`` [1434]: the displacement to the own neutral.
    ``displacements`` [8, 478, 3]: from neutral to each emotion. ``mouths`` [8, rows, columns]:
    what each shows between the lips, as shares of the skin's brightness, on the surface's mouth
    patch. ``rigs`` [8, 52]: what the tracker sees of each emotion; ``rigs_std`` [52]: by how much
    people differ in that. ``calm_shape``, ``calm_shape_std`` [478, 3] and ``calm_detail`` (coarse
    grid): people at rest, and how they differ.
    """

    rig_mean: F32
    rig_std: F32
    shape_mean: F32
    shape_basis: F32
    shape_std: F32
    calm_weights: F32
    calm_basis: F32
    calm_mean: F32
    displacements: F32
    mouths: F32
    rigs: F32
    rigs_std: F32
    calm_shape: F32
    calm_shape_std: F32
    calm_detail: F32

    def to_neutral(self, shape: F32, rig: F32) -> F32:
        """The displacement [478, 3] cm that brings a face [478, 3] with shapes ``rig`` [52] to its
        own neutral, as far as other people's tell."""
        scores = self.shape_basis @ (shape.ravel() - self.shape_mean) / self.shape_std
        seen = np.concatenate([(rig - self.rig_mean) / self.rig_std, scores])
        row = np.concatenate([[1.0], np.clip(seen, -LIMIT, LIMIT)])
        displacement = (row @ self.calm_weights) @ self.calm_basis + self.calm_mean
        return displacement.reshape(-1, 3).astype(np.float32)

    def to_emotion(self, emotion: str) -> F32:
        """The displacement [478, 3] cm from neutral to an emotion at full intensity."""
        displacement: F32 = self.displacements[EMOTIONS.index(emotion)]
        return displacement

    def deviations(self, shapes: F32) -> F32:
        """Differences of shapes [..., 52] in deviations among people."""
        deviations: F32 = (shapes / np.maximum(self.rigs_std, NOISE)).astype(np.float32)
        return deviations

    def unusual(self, shapes: F32) -> F32:
        """What of differences of shapes [..., 52] is more than what people differ by anyway."""
        less = np.maximum(np.abs(shapes) - np.maximum(self.rigs_std, NOISE), 0)
        more: F32 = (np.sign(shapes) * less).astype(np.float32)
        return more

    def arrays(self) -> Mapping[str, F32]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def load_people(weights: str = "") -> People:
    """Those of a set or a folder of weights; of one without, the default's. Raises MienError."""
    path = weight_folder("people", weights) / FILE
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, changed_ns: int) -> People:
    """``changed_ns``: when the file was written; it is read again once that is another time."""
    names = [field.name for field in fields(People)]
    arrays = load_arrays(path, names, FORMER)
    return People(*(array.astype(np.float32) for array in arrays))
