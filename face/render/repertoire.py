"""A person's own faces, remembered on the mesh: skin, eyes and mouth as they were seen, and the
shape that went with them.

Faces are kept by what they express, by how the mouth stood and how the head was turned; of each
kind the sharpest stay. What is asked of the memory is a face for an expression, with the mouth and
the turn of the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from engine.types import F32, U8
from face.emotions import FEELING
from face.render.surface import COARSE, HEIGHT, WIDTH
from face.topology import LOWER_INNER, MOUTH_CORNERS, OUTER_LIP_MIDDLES, UPPER_INNER
from face.types import EMOTIONS

MAX_FACES: Final = 120
"""about 56 MB"""
PER_KIND: Final = 2
NEUTRAL: Final = EMOTIONS[0]
OPENINGS: Final = (0.25, 0.8, 1.6)
"""between the bins of a mouth's opening, cm"""
TURNS_DEG: Final = (-32.0, -17.0, -7.0, 7.0, 17.0, 32.0)
"""between the bins of a head's turn"""
NODS_DEG: Final = (-14.0, 14.0)
TURN_DEG_PER_CM: Final = 20.0
"""how many degrees of turn are as far as a centimetre of the mouth"""
CM_PER_SHAPE: Final = 1.0
"""how many centimetres of the mouth are as far as a whole shape of an expression"""
NEAREST: Final = 5
SHARPNESS: Final = 4.0
"""how quickly the weight of a face falls with its distance, 1/cm"""
REACH_DEG: Final = (12.0, 30.0)
"""how far from the turn of a remembered face it is believed: all of it, nothing"""

STILL_DEG: Final = 12.0
"""how far a head may be turned in a picture that is kept"""
STILL_CM: Final = 1.0
"""how far a mouth is open that makes it half as good"""
STILL_PX: Final = 640
"""its longer side at most"""

OPEN_CM: Final = 0.4
"""an opening that shows what is behind the lips"""
LIKE_CM: Final = 1.0
"""up to which distance one opened mouth shows what another would"""


@dataclass(frozen=True, eq=False)
class Face:
    """One face that was seen. ``texture`` [HEIGHT, WIDTH, 3], ``seen`` [HEIGHT, WIDTH] 0..255 of
    the surface; ``shape`` [478, 3] cm in head coordinates; ``shapes`` [52]; ``turn`` [2] yaw and
    pitch, degrees; ``quality`` how sharp it is, more is better."""

    emotion: str
    texture: U8
    seen: U8
    shape: F32
    shapes: F32
    turn: F32
    quality: float

    @cached_property
    def mouth(self) -> F32:
        return mouth(self.shape)


@dataclass(frozen=True, eq=False)
class Recalled:
    """A face from memory for a moment: like ``Face``, a mean of the nearest. ``trust`` 0..1 falls
    with the distance between the heads' turns; ``nearest`` is one of them."""

    texture: U8
    seen: U8
    shape: F32
    shapes: F32
    trust: float
    nearest: Face


@dataclass(frozen=True, eq=False)
class Still:
    """A picture [H, W, 3] of the person, calm and from the front; ``quality`` as of a face."""

    picture: U8
    quality: float


class Repertoire:
    """What is remembered of one person; ``still`` is a picture that can be made to talk."""

    def __init__(self, faces: Iterable[Face] = (), still: Still | None = None) -> None:
        self._kinds: dict[tuple[object, ...], list[Face]] = {}
        self.still = still
        for face in faces:
            self.add(face)

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    @property
    def faces(self) -> list[Face]:
        return [face for kind in self._kinds.values() for face in kind]

    def of(self, emotion: str) -> list[Face]:
        """Those that express it."""
        return [face for face in self.faces if face.emotion == emotion]

    def wants(self, emotion: str, shape: F32, turn: F32, quality: float) -> bool:
        """Whether a face of this kind would be kept."""
        kept = self._kinds.get(_kind(emotion, shape, turn), [])
        return len(kept) < PER_KIND or quality > 1.1 * min(face.quality for face in kept)

    def add(self, face: Face) -> None:
        """Keep it, if it is better than one of its kind; memory stays bounded."""
        kind = self._kinds.setdefault(_kind(face.emotion, face.shape, face.turn), [])
        kind.append(face)
        if len(kind) > PER_KIND:
            kind.remove(min(kind, key=lambda one: one.quality))
        if len(self) > MAX_FACES:
            fullest = max(self._kinds.values(), key=len)
            fullest.remove(min(fullest, key=lambda one: one.quality))

    def consider(self, picture: U8, landmarks: F32, face: Face) -> None:
        """Keep the picture that a face was seen in, if it is calmer, sharper and more from the
        front than the one that is kept."""
        import cv2

        turned = float(np.abs(face.turn).max())
        opened = max(mouth_aperture(face.shape), 0.0) / STILL_CM
        quality = face.quality * (1 - turned / STILL_DEG) / (1 + opened)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        whole = (low > 0).all() and (high < picture.shape[1::-1]).all()
        better = self.still is None or quality > 1.05 * self.still.quality
        if face.emotion != NEUTRAL or turned > STILL_DEG or not (whole and better):
            return
        scale = min(1.0, STILL_PX / max(picture.shape[:2]))
        size = tuple(max(2, 2 * round(side * scale / 2)) for side in picture.shape[1::-1])
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self.still = Still(small.astype(np.uint8), quality)

    def recall(
        self, emotion: str, target: F32, turn: F32, shapes: F32 | None = None
    ) -> Recalled | None:
        """The person's own face of an emotion, with a mouth like ``target`` [3] (see ``mouth``) and
        a head turned by ``turn`` [2] degrees, its expression like ``shapes`` [52] if they are
        given; None where there is none."""
        faces = self.of(emotion)
        if not faces:
            return None
        aside = np.array([np.linalg.norm(face.turn - turn) for face in faces]) / TURN_DEG_PER_CM
        far = np.array([np.linalg.norm(face.mouth - target) for face in faces]) + aside
        if shapes is not None:
            other = np.stack([face.shapes for face in faces]) - shapes
            far += CM_PER_SHAPE * np.linalg.norm(other[:, FEELING], axis=1)
        nearest = np.argsort(far)[:NEAREST]
        weights = np.exp(-SHARPNESS * (far[nearest] - far[nearest[0]]))
        weights /= weights.sum()
        chosen = [faces[place] for place in nearest]
        turned = min(float(aside[place]) for place in nearest) * TURN_DEG_PER_CM
        low, high = REACH_DEG
        return Recalled(
            *mixed([(face.texture, face.seen) for face in chosen], weights),
            shape=_mean(weights, [face.shape for face in chosen]),
            shapes=_mean(weights, [face.shapes for face in chosen]),
            trust=float(np.clip((high - turned) / (high - low), 0, 1)),
            nearest=chosen[0],
        )

    def opened(self, target: F32) -> Face | None:
        """The face whose opened mouth is nearest to ``target`` [3]; None where none was like it."""
        far = {
            float(np.linalg.norm(face.mouth - target)): face
            for face in self.faces
            if mouth_aperture(face.shape) > OPEN_CM
        }
        nearest = min(far, default=np.inf)
        return far[nearest] if nearest < LIKE_CM else None


def _mean(weights: F32, arrays: Sequence[F32]) -> F32:
    return np.tensordot(weights, arrays, 1).astype(np.float32)


def mixed(layers: Sequence[tuple[U8, U8]], weights: Sequence[float] | F32) -> tuple[U8, U8]:
    """Textures and how well they were seen, by weight; the weights' sum is 1."""
    import cv2

    many = [(layer, float(w)) for layer, w in zip(layers, weights, strict=True) if w > 0.02]
    (texture, seen), total = many[0][0], many[0][1]
    for layer, weight in many[1:]:
        total += weight
        share = weight / total
        texture = cv2.addWeighted(texture, 1 - share, layer[0], share, 0).astype(
            np.uint8, copy=False
        )
        seen = cv2.addWeighted(seen, 1 - share, layer[1], share, 0).astype(np.uint8, copy=False)
    return texture, seen


def coarse(texture: U8, seen: U8) -> tuple[F32, F32]:
    """A texture on the coarse grid, where light is compared: colours and how well seen, 0..1."""
    import cv2

    size = (WIDTH // COARSE, HEIGHT // COARSE)
    colours = cv2.resize(texture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return colours, weight / np.float32(255)


def mouth_aperture(shape: F32) -> float:
    """How far the inner lips are apart, cm."""
    upper, lower = (shape[list(lip[1:-1]), 1].mean() for lip in (UPPER_INNER, LOWER_INNER))
    return float(upper - lower)


def mouth(shape: F32) -> F32:
    """Where a mouth stands among mouths [3]: opening, width and pucker, weighed, cm."""
    pucker = shape[list(OUTER_LIP_MIDDLES), 2].mean() - shape[list(MOUTH_CORNERS), 2].mean()
    wide = float(np.linalg.norm(shape[UPPER_INNER[0]] - shape[UPPER_INNER[-1]]))
    return np.array([2 * mouth_aperture(shape), 0.7 * wide, 0.5 * pucker], np.float32)


def _kind(emotion: str, shape: F32, turn: F32) -> tuple[object, ...]:
    return (
        emotion,
        int(np.searchsorted(OPENINGS, mouth_aperture(shape))),
        int(np.searchsorted(TURNS_DEG, turn[0])),
        int(np.searchsorted(NODS_DEG, turn[1])),
    )
