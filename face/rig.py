"""The linear rig: a mean face in cm, how each blendshape moves it, and where a head stands.

Face coordinates: x to the person's left as the camera sees it (image right), y up, z towards the
camera from the face; landmark units are pixels of the picture, y down, z away from the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.topology import RIGID
from inference.weights import load_arrays

RIG_PATH: Final = Path(__file__).parents[1] / "weights" / "rig" / "rig.npz"
EYE_SPAN_CM: Final = 8.9  # outer corner to outer corner; Farkas 1994, biocular width of adults
FIELD_OF_VIEW_DEG: Final = 63.0  # vertical, of a usual camera; only the pose's distance needs it


@dataclass(frozen=True)
class Placement:
    """A similarity from face [cm] to picture [px]: P = scale * turn @ face + offset, y and z up."""

    turn: F32
    """rotation [3, 3]"""
    scale: float
    """pixels per cm"""
    offset: F32
    """[3], pixels"""


@dataclass(frozen=True, eq=False)
class Rig:
    """What `training.fit_rig` found.

    ``mean`` [478, 3] cm; ``basis`` [52, 478, 3] cm per unit of blendshape; ``triangles`` [T, 3];
    ``mirror`` [478]: each landmark's partner on the other side; ``response`` [478]: by how much
    the tracker finds a landmark moved when its pixels move by one; ``observable`` [52]: which
    blendshapes the tracker ever reports.
    """

    mean: F32
    basis: F32
    triangles: NDArray[np.int32]
    mirror: NDArray[np.int32]
    response: F32
    observable: NDArray[np.bool_]

    def place(self, landmarks: F32) -> Placement:
        """Where the head is, from landmarks [478, 3]."""
        return align(self.mean[RIGID], upright(landmarks[RIGID]))

    def face(self, landmarks: F32, placement: Placement) -> F32:
        """Landmarks [478, 3] px brought to face coordinates [cm]."""
        local = (upright(landmarks) - placement.offset) @ placement.turn
        return (local / placement.scale).astype(np.float32)

    def displace(self, change: F32, placement: Placement) -> F32:
        """How far each landmark moves in the picture [478, 2] px for a change of shapes [52]."""
        face = np.tensordot(change, self.basis, axes=1)
        return project(face, placement)


def upright(landmarks: F32) -> F32:
    """Landmarks in axes with y up and z towards the camera."""
    return landmarks * np.array([1, -1, -1], np.float32)


def project(vectors: F32, placement: Placement) -> F32:
    """Vectors in face coordinates [N, 3] cm as they appear in the picture [N, 2] px, y down."""
    turned = vectors @ placement.turn[:2].T * placement.scale
    return (turned * np.array([1, -1], np.float32)).astype(np.float32)


def align(source: F32, target: F32) -> Placement:
    """The similarity that brings ``source`` [N, 3] closest to ``target`` (Umeyama 1991, eq. 40)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_0, target_0 = source - source_mean, target - target_mean
    left, sizes, right = np.linalg.svd(target_0.T.astype(np.float64) @ source_0)
    sign = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    turn = (left * sign) @ right
    spread = float((source_0.astype(np.float64) ** 2).sum())
    scale = float((sizes * sign).sum()) / max(spread, 1e-12)
    offset = target_mean - scale * turn @ source_mean
    return Placement(turn.astype(np.float32), scale, offset.astype(np.float32))


def camera_pose(placement: Placement, width: int, height: int) -> F32:
    """The head pose [4, 4]: face [cm] to camera, y up, -z forward, under a usual field of view."""
    focal = height / (2 * math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2))
    distance = focal / max(placement.scale, 1e-6)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = placement.turn
    pose[0, 3] = (placement.offset[0] - width / 2) * distance / focal
    pose[1, 3] = (placement.offset[1] + height / 2) * distance / focal
    pose[2, 3] = -distance
    return pose


@lru_cache(maxsize=4)
def load_rig(path: Path = RIG_PATH) -> Rig:
    """The fitted rig. Raises MienError where the file is missing or broken."""
    mean, basis, triangles, mirror, response, observable = load_arrays(
        path, ("mean", "basis", "triangles", "mirror", "response", "observable")
    )
    return Rig(
        mean=mean.astype(np.float32),
        basis=basis.astype(np.float32),
        triangles=triangles.astype(np.int32),
        mirror=mirror.astype(np.int32),
        response=response.astype(np.float32),
        observable=observable.astype(bool),
    )
