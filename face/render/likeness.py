"""Whether a face is the remembered person's: by its shape at rest and its coarse skin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.types import F32
from face.expression.people import People
from face.render.detail import coarse_detail, detail
from face.render.repertoire import NEUTRAL, Face, Repertoire

SAME: Final = 0.45
"""above this mean of several faces' likeness it is the same person: of single photographs of
strangers of one sex 87 % lie below, of the same person's in another session and emotion 2 %"""
MAYBE: Final = 0.3
"""the same of one photograph: 1 % of the same person's lie below"""
ENOUGH: Final = 6
"""faces that are looked at before something is said"""


@dataclass(frozen=True, eq=False)
class Signature:
    """``shape`` [1434] at rest, ``skin`` [cells], both against other people's and of length 1."""

    shape: F32
    skin: F32

    def likeness(self, other: Signature) -> float:
        """-2 to 2; strangers are around 0."""
        return float(self.shape @ other.shape + self.skin @ other.skin)


def signature(face: Face, people: People) -> Signature:
    """What tells a person from others in one face."""
    rest = face.shape
    if face.emotion != NEUTRAL:
        rest = rest + people.to_neutral(face.shape, face.shapes)
    shape = ((rest - people.calm_shape) / people.calm_shape_std).ravel()
    skin = (coarse_detail(detail(face.texture, face.seen)) - people.calm_detail).ravel()
    return Signature(*(part / max(float(np.linalg.norm(part)), 1e-6) for part in (shape, skin)))


class Likeness:
    """Compares the face that is seen now with a repertoire, over several pictures."""

    def __init__(self, repertoire: Repertoire, people: People) -> None:
        self._people = people
        faces = sorted(repertoire.faces, key=lambda one: (one.emotion != NEUTRAL, -one.quality))
        self._known = [signature(face, people) for face in faces[:ENOUGH]]
        self._found: list[float] = []

    def __call__(self, face: Face) -> bool | None:
        """Whether it is the same person; None while that isn't known yet."""
        if not self._known:
            return None
        self._found.append(self._likeness(face))
        if len(self._found) < ENOUGH:
            return None
        return float(np.median(self._found[-ENOUGH:])) > SAME

    def at_once(self, face: Face) -> bool | None:
        """The same from one picture, which says less: strangers are taken for the person rather
        than the person for a stranger."""
        return self._likeness(face) > MAYBE if self._known else None

    def _likeness(self, face: Face) -> float:
        now = signature(face, self._people)
        return max(known.likeness(now) for known in self._known)
